#!/usr/bin/env bash
# Set up everything that `make demo` and `make test` need: Qt's system libraries and
# .venv at the root of the repository.  Safe to call again; done in a moment if nothing
# has changed.  PYTHON=... chooses the interpreter, NO_APT=1 keeps off the system.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

extras=dev
venv=.venv
stamp=$venv/.set-up
torch_index=https://download.pytorch.org/whl/cpu

say() { printf 'set-up: %s\n' "$*"; }
fail() { say "$*" >&2; exit 1; }

# --- system packages ---------------------------------------------------------------

# One "thing package" pair a line: a shared library or a command, and who brings it.
system_needs="
libGL.so.1 libgl1
libEGL.so.1 libegl1
libglib-2.0.so.0 libglib2.0-0
libdbus-1.so.3 libdbus-1-3
libfontconfig.so.1 libfontconfig1
libxkbcommon.so.0 libxkbcommon0
libxkbcommon-x11.so.0 libxkbcommon-x11-0
libxcb-cursor.so.0 libxcb-cursor0
libxcb-icccm.so.4 libxcb-icccm4
libxcb-image.so.0 libxcb-image0
libxcb-keysyms.so.1 libxcb-keysyms1
libxcb-randr.so.0 libxcb-randr0
libxcb-render-util.so.0 libxcb-render-util0
libxcb-shape.so.0 libxcb-shape0
libxcb-xkb.so.1 libxcb-xkb1
Xvfb xvfb
xvfb-run xvfb
xauth xauth
"

missing_packages() {
    local ldconfig libraries thing package
    ldconfig=$(PATH=$PATH:/sbin:/usr/sbin command -v ldconfig) || return 0
    libraries=$("$ldconfig" -p)
    while read -r thing package; do
        case $thing in
            "") ;;
            lib*) [[ $libraries == *"$thing "* ]] || echo "$package" ;;
            *) command -v "$thing" >/dev/null || echo "$package" ;;
        esac
    done <<<"$system_needs" | sort -u
}

# The words to put before apt-get, or failure where nothing may be installed.
apt_as() {
    [ -z "${NO_APT:-}" ] && command -v apt-get >/dev/null || return 1
    if [ "$(id -u)" = 0 ]; then
        echo env
    elif command -v sudo >/dev/null && sudo -n true 2>/dev/null; then
        echo sudo -n env
    else
        return 1
    fi
}

# Install packages for a purpose, or say what is missing and how to get it.
apt_install() {
    local purpose=$1 as log
    shift
    log=$(mktemp)
    if as=$(apt_as); then
        say "installing with apt for $purpose: $*"
        # shellcheck disable=SC2086  # "sudo -n env" is three words
        if { $as DEBIAN_FRONTEND=noninteractive apt-get -qq update || true
             $as DEBIAN_FRONTEND=noninteractive apt-get -qq install -y \
                 --no-install-recommends "$@"; } >"$log" 2>&1 </dev/null; then
            rm -f "$log"
            return 0
        fi
        tail -n 5 "$log" >&2
    fi
    rm -f "$log"
    say "missing for $purpose, and not installed here; an administrator can:" \
        "apt-get install --no-install-recommends $*" >&2
    return 1
}

system_libraries() {
    [ "$(uname)" = Linux ] || return 0
    local packages
    mapfile -t packages < <(missing_packages)
    [ "${#packages[@]}" = 0 ] ||
        apt_install "Qt's window and a virtual screen" "${packages[@]}" || true
}

# --- Python -------------------------------------------------------------------------

good_python() {
    "$1" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null
}

find_python() {
    local name
    for name in ${PYTHON:-python3 python3.13 python3.12 python3.11}; do
        if good_python "$name"; then command -v "$name"; return; fi
    done
    return 1
}

make_venv() {
    local python version
    python=$(find_python) || fail "no Python 3.11 or newer was found;" \
        "install one, or name it: make setup PYTHON=/path/to/python3"
    if ! "$python" -c 'import ensurepip, venv' 2>/dev/null; then
        version=$("$python" -c 'import sys; print("%d.%d" % sys.version_info[:2])')
        apt_install "virtual environments" "python$version-venv" || exit 1
    fi
    say "making $venv with $("$python" --version)"
    "$python" -m venv --clear "$venv"
}

pip_install() {
    "$venv/bin/python" -m pip --disable-pip-version-check install -qq \
        -c constraints/dev.txt "$@"
}

install_torch() {
    local log
    log=$(mktemp)
    # Where pip is not set up to find the CPU build, ask its publisher.
    if ! pip_install torch >"$log" 2>&1; then
        pip_install torch --extra-index-url "$torch_index" || {
            cat "$log" >&2
            fail "torch as pinned in constraints/dev.txt could not be installed"
        }
    fi
    rm -f "$log"
}

# --- all of it ----------------------------------------------------------------------

system_libraries

wanted=$({ pwd; cat pyproject.toml constraints/dev.txt scripts/set-up.sh; } | cksum)
if [ -f "$stamp" ] && [ "$(cat "$stamp")" = "$wanted" ] &&
    good_python "$venv/bin/python"; then
    exit 0
fi
# An environment made elsewhere, half made or too old is made afresh.
if ! { [ -f "$venv/.made-in" ] && [ "$(cat "$venv/.made-in")" = "$PWD" ] &&
    good_python "$venv/bin/python" && "$venv/bin/python" -c 'import pip'; } \
    2>/dev/null; then
    make_venv
    pwd >"$venv/.made-in"
fi
rm -f "$stamp"
say "installing torch (CPU build; the longest part)"
install_torch
say "installing the package with its tools and dependencies"
pip_install -e ".[$extras]" || fail "pip could not install the dependencies"
echo "$wanted" >"$stamp"
say "done"
