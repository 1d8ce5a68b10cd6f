"""``python -m napari_inr_tomo.engine RUN``: see `napari_inr_tomo.engine.worker`."""

import sys

from napari_inr_tomo.guard import guard

if __name__ == "__main__":
    guard()  # before the seconds that importing torch takes
    from napari_inr_tomo.engine.worker import main

    sys.exit(main(sys.argv[1]))
