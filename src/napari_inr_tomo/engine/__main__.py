"""``python -m napari_inr_tomo.engine RUN``: see `napari_inr_tomo.engine.worker`."""

import sys

from napari_inr_tomo.engine.worker import main

if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
