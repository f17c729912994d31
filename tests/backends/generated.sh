#!/usr/bin/env bash
# Generates a client from the running service's OpenAPI document, with openapi-typescript and with openapi-python-client, and
# uses both.
#
#   generated.sh FOLDER VENV ADDRESS API_KEY    (FOLDER: empty)

set -eu -o pipefail
here=$(realpath "$(dirname "$0")")
folder=$(realpath "$1")
venv=$(realpath "$2")

curl -sSf "$3/openapi.json" >"$folder/openapi.json"
mkdir "$folder/typescript"
cp "$here/node/generated.ts" "$here/node/tsconfig.json" "$here/node/package.json" "$folder/typescript"
ln -s "$here/node/node_modules" "$folder/typescript/node_modules"
cd "$folder/typescript"
node_modules/.bin/openapi-typescript "$folder/openapi.json" --output schema.d.ts >"$folder/said"
node_modules/.bin/tsc -p .
node generated.js "$3" "$4"

cd "$folder"
"$venv/bin/openapi-python-client" generate --path openapi.json --output-path "$folder/generated_client" --meta none >"$folder/said" 2>&1 ||
  { cat "$folder/said"; exit 1; }
"$venv/bin/python" "$here/python/generated.py" "$folder" "$3" "$4"
