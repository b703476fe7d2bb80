#!/bin/sh
# The compiler behind ccache, so that what one folder has compiled serves every copy of the sources:
#   ccache.sh SOURCE_FOLDER CCACHE COMPILER ARGUMENTS...
# GCC never writes the same precompiled header twice (it holds addresses). Beside it goes a checksum of what was precompiled,
# paths left out, and by that ccache knows it.
set -eu
source=$1
shift
export CCACHE_BASEDIR="$source" CCACHE_NOHASHDIR=1 CCACHE_PCH_EXTSUM=1
export CCACHE_SLOPPINESS=pch_defines,time_macros,include_file_mtime,include_file_ctime

output=
previous=
for argument; do
  [ "$previous" != -o ] || output=$argument
  previous=$argument
done
case $output in
  *.gch)
    (
      rm -f "$output" # or it would be read
      shift           # ccache: the compiler alone, and no list of dependencies
      for argument; do
        shift
        case $argument in
          -MD) ;;
          -MT | -MF | -o) skip=1 ;;
          *) [ -n "${skip:-}" ] || set -- "$@" "$argument"
            skip= ;;
        esac
      done
      "$@" -E -o "$output.txt"
      { "$1" --version && printf '%s\n' "$@" && cat "$output.txt"; } | sed "s|$source/||g" | sha256sum >"$output.sum"
      rm "$output.txt"
    )
    ;;
esac
exec "$@"
