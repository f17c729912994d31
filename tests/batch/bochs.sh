#!/usr/bin/env bash
# Runs the unit tests of signing together on an emulated processor that has AVX-512 IFMA:
#
#   bochs.sh <folder> <kernel> <test binary> [model of the processor]
#
# Boots a small Linux in Bochs from a CD made in the folder, with the test binary in memory, and shows what its serial port
# said. Succeeds only if the machine booted, the processor has the instructions, its time stamp counter counts instructions,
# and the tests that use the real library ran and passed.
set -eu -o pipefail
here=$(cd "$(dirname "$0")" && pwd)
mkdir -p "$1"
folder=$(cd "$1" && pwd)
kernel=$(realpath "$2")
tests=$(realpath "$3")
model=${4:-corei7_icelake_u}

# What a boot and all runs take is under a quarter of this, where nothing else keeps the machine busy.
SECONDS_AT_MOST=1800

# Linux must not use what Bochs 2.7 emulates in part. It gives no size for the state of protection keys and none for a
# compacted XSAVE area; Linux sees the contradiction and switches AVX off. It has FSRM but, as its MSR says, no fast strings:
# Linux 6.1 then copies small pieces of memory by code that is for 32 bytes and more, and overwrites its own.
WITHOUT=pku,ospke,xsavec,xsaves,fsrm

# Everything that the machine has: init, the test binary, and the libraries it is linked with.
memory() {
  rm -rf "$folder/memory"
  mkdir -p "$folder/memory" "$folder/cd"
  cc -O2 -static -Wall -Wextra -Werror "$here/init.c" -o "$folder/memory/init"
  objcopy --strip-all "$tests" "$folder/memory/tests"
  local library
  ldd "$tests" | grep -o '/[^ ]*' | while read -r library; do
    mkdir -p "$folder/memory$(dirname "$library")"
    cp -L "$library" "$folder/memory$library"
  done
  (cd "$folder/memory" && find . | cpio --quiet -o -H newc) >"$folder/cd/memory"
}

cd_image() {
  cp "$kernel" "$folder/cd/linux"
  cp /usr/lib/ISOLINUX/isolinux.bin /usr/lib/syslinux/modules/bios/ldlinux.c32 "$folder/cd"
  cat >"$folder/cd/isolinux.cfg" <<END
default linux
label linux
  kernel linux
  append initrd=memory console=ttyS0,115200 quiet nokaslr nosmp mitigations=off clearcpuid=$WITHOUT
END
  xorriso -as mkisofs -quiet -o "$folder/cd.iso" -b isolinux.bin -c boot.cat -no-emul-boot -boot-load-size 4 -boot-info-table \
    "$folder/cd" 2>"$folder/xorriso.txt"
}

# The machine's time follows its instructions alone (`sync=none`).
machine() {
  cat >"$folder/bochsrc" <<END
cpu: model=$model, ips=100000000
clock: sync=none
memory: guest=512, host=512
romimage: file=\$BXSHARE/BIOS-bochs-latest
vgaromimage: file=\$BXSHARE/VGABIOS-lgpl-latest
ata0-master: type=cdrom, path=cd.iso, status=inserted
boot: cdrom
com1: enabled=1, mode=file, dev=serial.txt
sound: waveoutdrv=dummy
display_library: rfb, options="timeout=0"
log: bochs.txt
panic: action=fatal
error: action=ignore
info: action=ignore
END
  echo c >"$folder/continue"
}

# Bochs shows its screen to whoever connects: in a network of its own, that is nobody. Its debugger is built in and waits for
# a word before the first instruction. How it ends says nothing: to be switched off is a panic to it.
emulate() {
  rm -f "$folder"/{serial,bochs}.txt
  (cd "$folder" && timeout "$SECONDS_AT_MOST" unshare --net bochs-bin -q -f bochsrc -rc continue </dev/null >console.txt 2>&1) ||
    true
  if [ ! -s "$folder/serial.txt" ]; then
    echo "the machine did not boot; the last that Bochs said:"
    tail -n 20 "$folder"/{console,bochs}.txt 2>/dev/null
    return 1
  fi
  tr -d '\r' <"$folder/serial.txt" >"$folder/said.txt"
  grep -v '^flags' "$folder/said.txt"
}

said() {
  if grep -q -e "$1" "$folder/said.txt"; then return; fi
  echo "not so: $2"
  return 1
}

judge() {
  said '^flags.* avx512ifma' "the processor has AVX-512 IFMA, and Linux uses it"
  said '^ruler: 2000000 instructions count as 20000[0-9][0-9]$' "the time stamp counter counts instructions"
  said '^test custody::batch::tests::real::the_batch_library_makes_the_signatures_that_are_made_singly ... ok$' "the real library was tested"
  said '^== all runs succeeded$' "all runs succeeded"
}

memory
cd_image
machine
emulate
judge
