#!/usr/bin/env bash
# Run a command with a screen: the one there is, else a virtual one.
set -euo pipefail

if [ "$(uname)" != Linux ] || [ -n "${DISPLAY:-}${WAYLAND_DISPLAY:-}" ]; then
    exec "$@"
fi
if command -v xvfb-run >/dev/null; then
    export QT_QPA_PLATFORM=xcb INR_TOMO_UNATTENDED=1
    exec xvfb-run -a -s "-screen 0 1600x1000x24" "$@"
fi
echo "There is no display and no xvfb-run: the napari window cannot be drawn." >&2
export QT_QPA_PLATFORM=offscreen
exec "$@"
