#!/bin/sh
# Builds the kernel check for arm64 and runs it under qemu: check_neon.sh SOURCE_DIR WORK_DIR [SEED [KERNEL]]
# Exits 77 (skipped) without Debian's gcc-aarch64-linux-gnu, libc6-dev-arm64-cross and qemu-user.
set -eu
source=$1
work=$2
shift 2
cc=aarch64-linux-gnu-gcc
for tool in $cc qemu-aarch64; do
    command -v $tool >/dev/null || { echo "skipped: no $tool"; exit 77; }
done
mkdir -p "$work"
cd "$source"
flags="-std=c17 -O2 -g -Wall -Wextra -D_GNU_SOURCE -DCT_HAVE_X86=0 -DCT_HAVE_ARM=1 -I.
       -ffp-contract=off -fno-math-errno"
objects=
for file in engine/kernels/*.c engine/kernels/scalar/*.c engine/kernels/arm/*.c engine/base/clock.c \
    engine/base/log.c engine/base/rng.c engine/base/status.c tests/kernels/*.c tests/support/guard.c; do
    object=$work/$(basename "$file" .c).o
    objects="$objects $object"
    set_flags=
    case $file in
    *_neon.c) set_flags=-march=armv8.2-a+dotprod+fp16 ;;
    *_i8mm.c) set_flags=-march=armv8.2-a+dotprod+fp16+i8mm ;;
    esac
    $cc $flags $set_flags -c "$file" -o "$object"
done
$cc -static $objects -lm -lpthread -o "$work/check_kernels"
qemu-aarch64 -cpu max "$work/check_kernels" "$@" | tee "$work/log"
grep -q "neon linear_i8: ok" "$work/log"
grep -q "i8mm linear_i8: ok" "$work/log"
