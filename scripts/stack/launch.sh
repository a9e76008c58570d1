#!/bin/sh
# Finds a Python that is new enough and runs one of the stack's modules with it.
#   launch.sh MODULE [ARGUMENT ...]
set -eu

stack=$(CDPATH='' cd -- "$(dirname -- "$0")" && pwd)
module=$1
shift

# Compiled modules make the next start faster, whatever the environment says.
unset PYTHONDONTWRITEBYTECODE PYTHONHOME
PYTHONPATH=$(dirname -- "$stack")
export PYTHONPATH

new_enough() {
    "$1" -c 'import sys; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1
}

find_python() {
    for candidate in python3 python3.11 python3.12 python3.13 python3.14; do
        if new_enough "$candidate"; then
            command -v "$candidate"
            return
        fi
    done
    if command -v uv >/dev/null 2>&1; then
        uv python find '>=3.11' 2>/dev/null && return
        uv python install --quiet 3.13 >&2 && uv python find 3.13 && return
    fi
    return 1
}

if ! python=$(find_python); then
    if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null 2>&1; then
        echo '→ installing python3 and python3-venv with apt' >&2
        apt-get -qq update >&2 || true
        DEBIAN_FRONTEND=noninteractive \
            apt-get -qq -y --no-install-recommends install python3 python3-venv >/dev/null
    fi
    if ! python=$(find_python); then
        echo '✗ Python 3.11 or newer is needed to start.' >&2
        case $(uname -s) in
            Darwin) echo '  install it with: brew install python' >&2 ;;
            *)
                if command -v dnf >/dev/null 2>&1; then
                    echo '  install it with: sudo dnf install python3' >&2
                else
                    echo '  install it with: sudo apt install python3 python3-venv' >&2
                    echo '  where that one is older, put uv on the PATH: it fetches one' >&2
                fi
                ;;
        esac
        exit 1
    fi
fi

exec "$python" -m "stack.$module" "$@"
