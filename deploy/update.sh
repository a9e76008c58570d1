#!/bin/sh
# Brings the agent that install.sh has installed up to date:
#
#   sudo sh update.sh [--from SOURCE]
#
# The running service is restarted with the new version; when that does not start, the one before
# is put back. Configuration, keys and history stay as they are.
set -eu
exec sh "$(dirname -- "$0")/install.sh" --update "$@"
