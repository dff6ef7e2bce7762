#!/bin/sh
# Installs what apt-packages.txt lists and this machine lacks; does nothing, fast, when all is there.
# usage: deploy/install-packages.sh
set -eu
cd "$(dirname "$0")"

wanted=$(sed 's/#.*//' apt-packages.txt)
# shellcheck disable=SC2086 # words on purpose, here and below
installed=$(dpkg-query -W -f='${Package} ${db:Status-Status}\n' $wanted 2>/dev/null |
    sed -n 's/ installed$//p' | tr '\n' ' ')
missing=
for package in $wanted; do
    case " $installed " in
    *" $package "*) ;;
    *) missing="$missing $package" ;;
    esac
done
[ -z "$missing" ] && exit 0

as_root=
if [ "$(id -u)" -ne 0 ]; then
    as_root=sudo
    if ! command -v sudo >/dev/null; then
        echo "centroid: needs root or sudo to install:$missing" >&2
        exit 1
    fi
fi
echo "centroid: installing$missing" >&2
export DEBIAN_FRONTEND=noninteractive
# shellcheck disable=SC2086 # words on purpose
if ! { $as_root apt-get update -qq &&
    $as_root apt-get install -y -qq --no-install-recommends $missing; } >&2; then
    cat >&2 <<END
centroid: the packages could not be installed. Without network, install them from your own mirror or
from a Debian 12 medium, then start again:
   $missing
END
    exit 1
fi
