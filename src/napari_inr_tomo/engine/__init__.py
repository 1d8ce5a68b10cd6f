"""One rank of a reconstruction: data, starts, training, previews, checkpoints."""

import os

# MKL otherwise picks a kernel by the address of an operand: the same run would then
# differ in the last bit from one start to the next.  Read at the first product.
os.environ.setdefault("MKL_CBWR", "AUTO")
