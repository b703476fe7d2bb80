#!/bin/sh
# Kills training runs and fills their disks; checks that no save is lost. Run by `./weft check kill`.
# Usage: kill.sh TRAIN_GPT FOLDER [KILLS] [SEED]
set -eu
program=$1
folder=$2
kills=${3:-100}
seed=${4:-1}
rm -rf "$folder"
mkdir -p "$folder"
cd "$folder"

fail() {
  echo "kill: $*" >&2
  exit 1
}
bytes() { wc -c <"$1" | tr -d ' '; }

i=0
while [ $i -lt 60 ]; do
  echo "line $i: the sum of $((i * 7919 % 1000)) and $i is known to nobody;"
  i=$((i + 1))
done >text
# A save after every step: most of the time of a run goes into it.
flags="--text text --layers 2 --heads 2 --width 32 --context 16 --batch 4 --dropout 0.1 --sample 0 --eval-every 1"
steps=400

# --- kills ------------------------------------------------------------------------------------------------
"$program" $flags --steps $steps --save whole >whole.out 2>&1 || fail "the run that is never killed failed: $(cat whole.out)"
echo "kills: $kills of a run of $steps steps that saves after each, seed $seed"
delays=$(awk -v n="$kills" -v seed="$seed" 'BEGIN { srand(seed); for (i = 0; i < n; i++) printf "%.4f ", 0.01 + 0.25 * rand() }')
killed=0 early=0 partial=0 torn=0 ended=0
for delay in $delays; do
  if [ -f save ]; then how="--resume save --save save --overwrite --log log"; else how="--steps $steps --save save --log log --overwrite"; fi
  "$program" $flags $how >run.out 2>&1 &
  process=$!
  sleep "$delay"
  if kill -KILL $process 2>/dev/null; then killed=$((killed + 1)); fi
  code=0
  { wait $process; } 2>/dev/null || code=$?
  case $code in
    137) ;;
    0) ended=$((ended + 1)); mv save "finished-$ended"; mv log "finished-$ended.log" ;;
    *) fail "a run ended with $code: $(cat run.out)" ;;
  esac
  # What lies there: the save, the log, and at most one temporary of a known name each.
  for name in *; do
    case $name in
      text | whole | whole.out | run.out | save | log | finished-*) ;;
      save.weft-partial) partial=$((partial + 1)) ;;
      save.weft-lock) ;;
      *) fail "after a kill there is a file '$name'" ;;
    esac
  done
  [ -f log ] && [ -s log ] && [ "$(tail -c 1 log | od -An -tx1 | tr -d ' ')" != 0a ] && torn=$((torn + 1))
  if [ ! -f save ]; then
    early=$((early + 1))
    continue
  fi
  # It can be read: the run goes on for no step.
  "$program" $flags --resume save --stop-after 1 >read.out 2>&1 || fail "the save cannot be read: $(cat read.out)"
  rm -f read.out
done
echo "kills: $killed killed, $ended ended before; $early before a first save, $partial left a temporary, $torn a torn log line"
if [ -f save ]; then how="--resume save --save save --overwrite --log log"; else how="--steps $steps --save save --log log --overwrite"; fi
"$program" $flags $how >run.out 2>&1 || fail "the last run failed: $(cat run.out)"
for save in save finished-*; do
  case $save in *.log | 'finished-*') continue ;; esac
  cmp -s "$save" whole || fail "'$save', killed so often, differs from the run that was never killed"
done
for log in log finished-*.log; do
  [ -f "$log" ] || continue
  ! grep -v '^{.*}$' "$log" >bad || fail "'$log' holds a torn line: $(head -n 1 bad)"
done
[ ! -e save.weft-partial ] && [ ! -e save.weft-lock ] || fail "the run that ended left a temporary"
echo "kills: every save could be read, the last has the bits of a run that was never killed"

# --- full disks -------------------------------------------------------------------------------------------
short="--text text --layers 2 --heads 2 --width 32 --context 16 --batch 4 --sample 0 --steps 20"
"$program" $short --save short >run.out 2>&1
for place in stdout log; do
  rm -f saved
  code=0
  if [ $place = stdout ]; then "$program" $short --save saved >/dev/full 2>run.out || code=$?
  else "$program" $short --save saved --log /dev/full >/dev/null 2>run.out || code=$?; fi
  [ $code = 1 ] && [ -f saved ] || fail "$place on a full disk: exit code $code, $(cat run.out)"
  "$program" $short --resume saved --save resumed --overwrite >run.out 2>&1
  cmp -s resumed short || fail "$place on a full disk: the run that goes on differs"
  echo "full disk for $place: exit code 1, saved before, goes on with the same bits"
done
# Room for one save and a half: the second one, beside the first, does not fit.
room=$(($(bytes short) * 3 / 2 / 1024))k
if [ "$(id -u)" = 0 ] && mkdir -p small && mount -t tmpfs -o size="$room" weft-small small 2>/dev/null; then
  trap 'umount small' EXIT
  "$program" $short --save small/save --stop-after 5 >run.out 2>&1 || fail "a save on a small disk: $(cat run.out)"
  cp small/save kept
  code=0
  "$program" $short --resume small/save --save small/save --overwrite >run.out 2>&1 || code=$?
  [ $code = 1 ] && grep -q "cannot write 'small/save'" run.out || fail "a save on a full disk: exit code $code, $(cat run.out)"
  cmp -s small/save kept || fail "a save on a full disk changed the old one"
  "$program" $short --resume small/save --save resumed --overwrite >run.out 2>&1
  cmp -s resumed short || fail "a save on a full disk: the run that goes on differs"
  echo "full disk for the save: exit code 1, the old save is kept, goes on with the same bits"
else
  echo "full disk for the save: left out, it needs root and mount"
fi
