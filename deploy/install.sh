#!/bin/sh
# Installs the Pilot agent on a Linux with systemd, a blank Raspberry Pi too:
#
#   sudo sh install.sh [--from SOURCE] [--version VERSION] [--no-setup] [-- SETUP-ARGUMENT ...]
#   sudo sh install.sh --uninstall [--purge | --no-purge]
#
#   --from SOURCE   a folder of wheels, a wheel, or what pip understands (default: pilot-agent, from
#                   the package index that pip is configured for)
#   --version       this version of it, and not the newest
#   --no-setup      only the program: no configuration, no service
#   --update        only where it is installed already (as update.sh calls it)
#   --uninstall     takes everything away; asks before keys and history go
#
# What stands after -- goes to `pilot-agent setup`, such as: -- --yes --broker mqtt.local
#
# It looks first and changes nothing where something is missing, may be called again at any time,
# writes what it does to /var/log/pilot-agent-install.log, and undoes what it began if it fails.
set -eu

PREFIX=/opt/pilot-agent
# Leads to the release in use: the command and the units of the system name this one path.
CURRENT=$PREFIX/current
LINK=/usr/local/bin/pilot-agent
LOG=/var/log/pilot-agent-install.log
NEEDED_MB=150

source_=pilot-agent
version_=
action=install
run_setup=yes
purge=
# What is undone if something fails: the new release, and which one was in use.
release=
before=
linked=

say() {
    printf '%s\n' "$*"
    printf '%s %s\n' "$(date '+%Y-%m-%d %H:%M:%S')" "$*" >>"$LOG"
}

fail() {
    printf 'install.sh: %s\n' "$*" >&2
    if [ -w "$LOG" ]; then
        printf '%s failed: %s\n' "$(date '+%Y-%m-%d %H:%M:%S')" "$*" >>"$LOG"
    fi
    exit 1
}

roll_back() {
    code=$?
    trap - EXIT INT TERM
    if [ "$code" -ne 0 ] && [ -n "$release" ]; then
        say 'It did not work; undoing what was begun.'
        if [ -n "$linked" ]; then
            if [ -n "$before" ]; then
                ln -sfn "$before" "$CURRENT"
                systemctl try-restart pilot-agent.service >>"$LOG" 2>&1 || true
            else
                rm -f "$LINK" "$CURRENT"
            fi
        fi
        rm -rf "$release"
        rmdir "$PREFIX/releases" "$PREFIX" 2>/dev/null || true
        say "Everything is as it was; $LOG has the details."
    fi
    exit "$code"
}

# --- Looking first -----------------------------------------------------------------------------

look_first() {
    [ "$(uname -s)" = Linux ] || fail 'this is not Linux'
    [ "$(id -u)" -eq 0 ] || fail 'run it as root: sudo sh install.sh'
    : >>"$LOG" 2>/dev/null || fail "cannot write $LOG; is the system read-only?"
    [ -d /run/systemd/system ] || fail 'systemd does not run this system; use pipx (docs/deployment.md)'
    case $(uname -m) in
        x86_64 | aarch64) ;;
        armv7l | armv6l)
            say 'Note: on 32-bit ARM some libraries have no ready-made wheels and may be compiled.' ;;
        *) fail "no libraries are published for $(uname -m)" ;;
    esac
    if command -v dpkg-query >/dev/null &&
        dpkg-query -W -f '${Status}' pilot-agent 2>/dev/null | grep -q 'ok installed'; then
        fail 'pilot-agent is installed as a package; update it with apt, or remove that first'
    fi
    if [ -e "$LINK" ] && [ ! -L "$LINK" ]; then
        fail "$LINK is there and was not made by this script"
    fi
    if [ "$action" = update ] && [ ! -L "$LINK" ]; then
        fail 'pilot-agent is not installed by install.sh; nothing to update'
    fi
    look_for_space
    look_for_python
    look_for_network
}

look_for_space() {
    folder=$PREFIX
    while [ ! -d "$folder" ]; do folder=$(dirname "$folder"); done
    free=$(df -Pm "$folder" | awk 'NR == 2 { print $4 }')
    [ "$free" -ge "$NEEDED_MB" ] ||
        fail "$folder has $free MB left; $NEEDED_MB MB are needed"
    [ -w "$folder" ] || fail "$folder cannot be written to; is the system read-only?"
}

look_for_python() {
    command -v python3 >/dev/null || add_packages python3
    python3 -c 'import sys; sys.exit(sys.version_info < (3, 11))' ||
        fail "Python 3.11 or newer is needed, and this is $(python3 --version 2>&1)"
    python3 -c 'import ensurepip, venv' 2>/dev/null || add_packages python3-venv
}

add_packages() {
    command -v apt-get >/dev/null || fail "not installed: $*"
    say "Installing $* (it stays, whatever follows)"
    apt-get update >>"$LOG" 2>&1 || true
    DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends "$@" \
        >>"$LOG" 2>&1 || fail "$* cannot be installed; apt-get says why in $LOG"
}

look_for_network() {
    # A folder or a wheel's own libraries may be here; an index of one's own is pip's business.
    [ "$source_" = pilot-agent ] || return 0
    [ -z "${PIP_INDEX_URL:-}${PIP_NO_INDEX:-}${PIP_FIND_LINKS:-}" ] || return 0
    python3 - <<'PYTHON' || fail 'pypi.org cannot be reached; --from takes a folder of wheels'
import socket, sys
try:
    socket.create_connection(("pypi.org", 443), timeout=10).close()
except OSError as error:
    sys.exit(f"pypi.org: {error}")
PYTHON
}

# --- Doing it ----------------------------------------------------------------------------------

install_release() {
    if program=$(readlink -e "$LINK"); then
        before=${program%/bin/pilot-agent}
    fi
    mkdir -p "$PREFIX/releases"
    release=$(mktemp -d "$PREFIX/releases/$(date +%Y%m%d-%H%M%S)-XXXXXX")
    chmod 755 "$release"
    say "Installing into $release"
    pip=$(wheel_of_pip) || fail 'Python comes without pip here'
    python3 -m venv --without-pip "$release" >>"$LOG" 2>&1 ||
        fail "no virtual environment; see $LOG"
    if [ -d "$source_" ]; then
        set -- --no-index --find-links "$source_" "pilot-agent[i2c,setup,sound,update]$version_"
    else
        set -- "${source_}[i2c,setup,sound,update]$version_"
    fi
    "$release/bin/python" "$pip/pip" install --disable-pip-version-check --no-input "$@" \
        >>"$LOG" 2>&1 || fail "the agent cannot be installed; pip says why in $LOG"
    version=$("$release/bin/pilot-agent" --version) || fail 'what was installed does not start'
    linked=yes
    link "$release" "$CURRENT"
    link "$CURRENT/bin/pilot-agent" "$LINK"
    say "Installed: $version"
}

# pip works from the wheel that Python brings for new environments. Installed into one, which takes
# as long as installing the agent, it would only have to be removed again.
wheel_of_pip() {
    python3 - <<'PYTHON'
import ensurepip, pathlib, sys, sysconfig
# Distributions may keep such wheels in a folder of their own.
own, folder = sysconfig.get_config_var("WHEEL_PKG_DIR"), pathlib.Path(ensurepip.__file__).parent
wheels = [
    wheel
    for place in ([own] if own else []) + [folder / "_bundled"]
    for wheel in pathlib.Path(place).glob("pip-*.whl")
]
print(wheels[0]) if wheels else sys.exit("ensurepip has no wheel of pip")
PYTHON
}

link() {
    ln -sfn "$1" "$2.new"
    mv -T "$2.new" "$2"
}

restart_service() {
    systemctl is-active --quiet pilot-agent.service || return 0
    say 'Restarting the service'
    systemctl reset-failed pilot-agent.service >>"$LOG" 2>&1 || true
    systemctl restart pilot-agent.service >>"$LOG" 2>&1 ||
        fail 'the new version does not start; journalctl -u pilot-agent says why'
}

drop_old_releases() {
    # The one before stays: `ln -sfn RELEASE /opt/pilot-agent/current` brings it back.
    for old in "$PREFIX"/releases/*; do
        if [ "$old" = "$release" ] || [ "$old" = "$before" ]; then
            continue
        fi
        say "Removing $old"
        rm -rf "$old"
    done
}

uninstall() {
    [ "$(id -u)" -eq 0 ] || fail 'run it as root: sudo sh install.sh --uninstall'
    [ -L "$LINK" ] || fail 'pilot-agent is not installed by install.sh'
    if [ -n "$purge" ]; then
        "$LINK" setup --remove "$purge"
    else
        "$LINK" setup --remove
    fi
    rm -rf "$PREFIX"
    rm -f "$LINK" "$LOG"
    echo 'Removed.'
}

while [ $# -gt 0 ]; do
    case $1 in
        --from) [ $# -ge 2 ] || fail '--from needs a source'; source_=$2; shift ;;
        --version) [ $# -ge 2 ] || fail '--version needs a version'; version_="==$2"; shift ;;
        --no-setup) run_setup= ;;
        --update) action=update ;;
        --uninstall) action=uninstall ;;
        --purge | --no-purge) purge=$1 ;;
        -h | --help) sed -n '2,/^set -eu/s/^# \{0,1\}//p' "$0"; exit 0 ;;
        --) shift; break ;;
        *) fail "$1 is not known; --help says what is" ;;
    esac
    shift
done

if [ "$action" = uninstall ]; then
    uninstall
    exit 0
fi
look_first
trap roll_back EXIT
trap 'exit 130' INT
trap 'exit 143' TERM
install_release
restart_service
# From here on nothing is undone: the program works, whatever becomes of the broker.
trap - EXIT INT TERM
drop_old_releases
if [ "$action" = update ] || [ -z "$run_setup" ]; then
    exit 0
fi
if [ -t 0 ] || [ ! -r /dev/tty ] || ! (: </dev/tty) 2>/dev/null; then
    exec "$LINK" setup "$@"
fi
# Piped into sh, the questions go to the terminal all the same.
exec "$LINK" setup "$@" </dev/tty
