#!/usr/bin/env bash
# Brings the batch library from PyPI into a folder: library.sh <folder> [emulate]. With `emulate`, as tests need it on a
# processor that has neither AVX-512 IFMA nor AVX-IFMA.
set -eu -o pipefail
here=$(cd "$(dirname "$0")" && pwd)
mkdir -p "$1"
folder=$(cd "$1" && pwd)

python3 -m pip download --quiet --disable-pip-version-check --no-deps --dest "$folder" ipp-crypto-static==2026.2.0
cd "$folder"
python3 -c 'import sys, zipfile; wheel = zipfile.ZipFile(sys.argv[1]); name = next(n for n in wheel.namelist() if n.endswith("/libcrypto_mb.a")); open("libcrypto_mb.a", "wb").write(wheel.read(name))' ipp_crypto_static-*.whl

if [ "${2:-}" = emulate ]; then
  objcopy --redefine-sym mbx_is_crypto_mb_applicable=replaced_test_of_the_processor libcrypto_mb.a
  cc -O2 -mno-avx -Wall -Wextra -Werror -c "$here/emulate.c" -o emulate.o
  ar r libcrypto_mb.a emulate.o
fi
