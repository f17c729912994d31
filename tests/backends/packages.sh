#!/usr/bin/env bash
# Makes the packages of the back-end libraries by the commands of their READMEs, without a registry, installs them in empty
# projects, and checks their types there: a user id that is a number must not pass.
#
#   packages.sh FOLDER VENV    (FOLDER: empty, and keeps the projects; VENV has hatchling, mypy and FastAPI)

set -eu -o pipefail
here=$(realpath "$(dirname "$0")")
root=$(realpath "$here/../..")
folder=$(realpath "$1")
venv=$(realpath "$2")

# Runs the README's commands in the checkout, of which node_modules is given.
follow() {
  sed -n 's/^\$ //p' "$1" | grep -v '^npm ci$' >"$folder/commands"
  grep -q . "$folder/commands"
  (cd "$folder/countersign" && npm_config_offline=true PIP_NO_INDEX=1 PIP_NO_BUILD_ISOLATION=false \
    PATH=$folder/python/bin:$PATH bash -e "$folder/commands" >"$folder/said" 2>&1) || { cat "$folder/said"; return 1; }
}

mkdir -p "$folder/countersign/clients" "$folder/my-backend"
tar -c -C "$root" --exclude node_modules --exclude dist clients/node clients/python clients/java | tar -x -C "$folder/countersign"
ln -s "$root/clients/node/node_modules" "$folder/countersign/clients/node/node_modules"

echo '{ "private": true }' >"$folder/my-backend/package.json"
follow "$root/clients/node/README.md"
cd "$folder/my-backend"
tar -tf "$folder"/countersign/clients/node/*.tgz | sort >"$folder/listed"
grep -qx package/LICENSE "$folder/listed"
if grep -vE '^package/(LICENSE|README.md|package.json|dist/[a-z]+\.(cjs|mjs|d\.cts|d\.mts))$' "$folder/listed"; then exit 1; fi
node --input-type=module --eval "import { Countersign } from '@countersign/backend'; new Countersign({ url: 'http://x', apiKey: 'k' })"
node --eval "const { Countersign } = require('@countersign/backend'); new Countersign({ url: 'http://x', apiKey: 'k' })"
cp "$here/node/types.mts" "$here/node/types.cts" .
"$root/clients/node/node_modules/.bin/tsc" --noEmit --strict --exactOptionalPropertyTypes --module nodenext --target es2022 \
  --typeRoots "$root/clients/node/node_modules/@types" --types node types.mts types.cts
echo "npm: packed, installed, imported by both kinds of modules; types"

python3 -m venv --without-pip "$folder/python"
echo "$venv"/lib/python3*/site-packages >"$folder/tools.pth"
mv "$folder/tools.pth" "$folder"/python/lib/python3*/site-packages
printf '#!/bin/sh\nexec "%s" -m pip "$@"\n' "$folder/python/bin/python" >"$folder/python/bin/pip"
chmod +x "$folder/python/bin/pip"
follow "$root/clients/python/README.md"
unzip_list() { python3 -m zipfile -l "$1" | awk 'NR > 1 { print $1 }'; }
unzip_list "$folder"/countersign/dist/*.whl >"$folder/listed"
grep -qx countersign/py.typed "$folder/listed"
grep -q 'licenses/LICENSE$' "$folder/listed"
cd "$folder"
"$folder/python/bin/python" -c 'import countersign; assert "/my-backend" not in countersign.__file__; print(countersign.__file__)' \
  >"$folder/imported"
grep -q "^$folder/python/lib/" "$folder/imported"
"$venv/bin/python" -m mypy --strict --cache-dir "$folder/mypy" --python-executable "$folder/python/bin/python" "$here/python/types_of_users.py" \
  "$root/clients/python/examples/fastapi_route.py"
(cd "$root/clients/python" && "$venv/bin/python" -m mypy --cache-dir "$folder/mypy" src)
echo "wheel: made, installed, imported; types"

follow "$root/clients/java/README.md"
jar=$(echo "$folder"/countersign/build/*.jar)
java_compiles() { javac -Xlint:all -Werror --release 11 -cp "$jar" -d "$folder/classes" "$@"; }
java_compiles "$here/java/Types.java"
sed 's/"42"/42/' "$here/java/Types.java" >"$folder/Types.java"
if java_compiles "$folder/Types.java" >"$folder/said" 2>&1; then echo "a number passed as a user id"; exit 1; fi
grep -q 'int cannot be converted to String' "$folder/said"
java_compiles "$root"/clients/java/examples/Route.java "$here/java/Serve.java"
javac -Xlint:all -Werror --release 11 -d "$folder/checked" "$root"/clients/java/src/main/java/countersign/*.java
echo "jar: made, compiled against"
