"""``python -m napari_inr_tomo.cli``: the same as ``inr-tomo``."""

import sys

from napari_inr_tomo.cli import main

if __name__ == "__main__":
    sys.exit(main())
