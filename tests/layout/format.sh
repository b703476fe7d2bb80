#!/bin/sh
# layout.format: every source is as clang-format 19 makes it, by .clang-format. `sh tests/layout/format.sh --fix` rewrites them.
# Run from the root, with the formatter's path in CLANG_FORMAT (clang-format-19). Files that git does not know are left out.
set -eu
format=${CLANG_FORMAT:-clang-format-19}
"$format" --version | grep -q 'version 19\.' || { "$format" --version; echo "layout.format wants clang-format 19"; exit 1; }
how='--dry-run -Werror'
[ "${1:-}" != --fix ] || how=-i
# shellcheck disable=SC2086
git ls-files -z '*.h' '*.cpp' | xargs -0 "$format" $how
