# How train_gpt ends: what is saved, what is kept, exit codes, files that it does not write onto.
# Run as: cmake -DPROGRAM=<train_gpt> -DWORK=<folder of its own> -P endings.cmake
cmake_minimum_required(VERSION 3.25)

file(REMOVE_RECURSE "${WORK}")
file(MAKE_DIRECTORY "${WORK}")
string(REPEAT "a text of which nothing is to be learned; " 50 text)
file(WRITE "${WORK}/text" "${text}")
set(model --layers 1 --heads 2 --width 8 --context 8 --batch 2 --sample 0)
set(run "'${PROGRAM}' --text text --layers 1 --heads 2 --width 8 --context 8 --batch 2 --sample 0")

function(ends code pattern)  # ends(CODE PATTERN SCRIPT): the script's exit code, and what it says on stderr
  execute_process(COMMAND sh -c "${ARGN}" WORKING_DIRECTORY "${WORK}" RESULT_VARIABLE result OUTPUT_VARIABLE output
                  ERROR_VARIABLE error TIMEOUT 120)
  if(NOT result EQUAL code OR NOT error MATCHES "${pattern}")
    message(SEND_ERROR "${ARGN}: expected ${code} and '${pattern}', got ${result}:\n${output}${error}")
  endif()
endfunction()

function(same a b)
  file(SHA256 "${WORK}/${a}" hash_a)
  file(SHA256 "${WORK}/${b}" hash_b)
  if(NOT hash_a STREQUAL hash_b)
    message(SEND_ERROR "${a} and ${b} differ")
  endif()
endfunction()

ends(0 "" "${run} --steps 10 --save whole >out")

# --- Saved first, then the error ------------------------------------------------------------------------
ends(1 "saved to 'full' after step 1\ntrain_gpt: standard output" "${run} --steps 10 --save full >/dev/full")
ends(0 "" "${run} --steps 10 --resume full --save after >out")
same(after whole)
ends(1 "the log '/dev/full' cannot be written" "${run} --steps 10 --save log-full --log /dev/full >out")
ends(0 "" "${run} --steps 10 --resume log-full --save after-log >out")
same(after-log whole)
ends(0 "" "${run} --steps 10 --save quiet >out 2>&-")
same(quiet whole)
ends(0 "" "${run} --steps 10 --save full-quiet >out 2>/dev/full")
same(full-quiet whole)
ends(0 "" "${run} --steps 10 --save no-stdin >out <&-")
same(no-stdin whole)
# A reader that goes away: the write fails, the run is saved. `head` leaves after its line.
ends(0 "" "{ ${run} --steps 4000 --eval-every 0 --save piped 2>err || echo \$? >code; } | head -n 1 >out; test \$(cat code) = 1 && grep -q 'saved to .piped. after step' err")
ends(1 "standard output" "'${PROGRAM}' --help >/dev/full")

# --- Signals --------------------------------------------------------------------------------------------
foreach(signal INT TERM HUP)
  ends(3 "stopped after step [0-9]+ of 3000, saved to 'stopped-${signal}'|stopped after step [0-9]+ of 3000; saved to 'stopped-${signal}'"
       "${run} --steps 3000 --eval-every 0 --save stopped-${signal} --log log-${signal} >out & until [ -s log-${signal} ]; do sleep 0.02; done; kill -${signal} $!; wait $!")
  ends(0 "" "${run} --resume stopped-${signal} --save resumed-${signal} --stop-after 3 >out")
endforeach()

# --- Divergence -----------------------------------------------------------------------------------------
ends(0 "" "cp whole good; cp whole before")
ends(4 "diverged: 20 steps in a row without a finite loss and gradient; " "${run} --resume good --save good --overwrite --steps 100 --warmup 0 --rate 1e30 --eval-every 1 --log diverged >out")
same(good before)
ends(0 "" "grep -q '\"skipped\":19' diverged && tail -n 1 diverged | grep -q '\"diverged\":true'")
ends(4 "diverged: 3 steps in a row" "${run} --steps 100 --warmup 0 --rate 1e30 --clip 0 --most-skipped 3 >out")

# --- Files that are not its own -------------------------------------------------------------------------
file(SHA256 "${WORK}/text" text_before)
ends(0 "" "ln -s text link; ln text hard; printf 'kept\\n' >other.log")
foreach(name text ./text link hard)
  ends(1 "--save and --text are the same file" "${run} --steps 2 --save ${name} --overwrite")
  ends(1 "--log and --text are the same file" "${run} --steps 2 --log ${name} --overwrite")
endforeach()
ends(1 "--log and --save are the same file" "${run} --steps 2 --log x --save ./x")
ends(1 "--log and --resume are the same file" "${run} --log whole --resume whole --overwrite")
ends(1 "--save is the save that is resumed, 'whole'; hint: another name, or --overwrite" "${run} --resume whole --save whole")
ends(1 "--save 'whole' is there already, perhaps of another run; hint: another name, or --overwrite, or --resume it" "${run} --steps 2 --save whole")
ends(1 "--save 'good' is there already" "${run} --resume whole --save good")
ends(1 "--log 'other.log' is there already, of another run; hint: another name, or --overwrite" "${run} --steps 2 --log other.log")
ends(0 "" "grep -q kept other.log && test \$(wc -l <other.log) = 1 && ! test -e x")
file(SHA256 "${WORK}/text" text_after)
if(NOT text_before STREQUAL text_after)
  message(SEND_ERROR "the text was written")
endif()
ends(0 "" "${run} --steps 2 --log other.log --overwrite >out && ! grep -q kept other.log")
foreach(flag save log resume text attention)
  ends(105 "--${flag}: it needs the name of a file" "${run} --steps 2 --${flag} ''")
endforeach()

# --- Two processes on one save --------------------------------------------------------------------------
ends(0 "" "${run} --steps 100000 --eval-every 0 --save locked --log locked.log >out 2>first & until [ -s locked.log ]; do sleep 0.02; done; ${run} --steps 2 --save locked >out 2>second; code=\$?; kill -INT $!; wait $!; test \$code = 1 && grep -q locked second")

# --- What a save holds is validated as flags are --------------------------------------------------------
# A copy of the save `whole` in which a field of the recipe has another value, as long as the old one.
function(holds flag old new pattern)
  ends(1 "train_gpt: 'bad': ${pattern}"
       "LC_ALL=C sed 's/${flag}\\\\\":${old}/${flag}\\\\\":${new}/' whole >bad; cmp -s whole bad && echo same; ${run} --resume bad --save from-bad")
endfunction()
holds(heads 2 0 "--heads must be a number from 1 to 1073741824, got 0")
holds(heads 2 3 "--heads must divide --width, got 3 heads and width 8")
holds(layers 1 0 "--layers must be a number from 1")
holds(batch 2 0 "--batch must be a number from 1")
holds(steps 10 -1 "--steps must be a number from 1")
holds(clip 1.0 -10 "--clip must be a number that is not negative, got -10")
holds(dropout 0.0 1.5 "--dropout must be in .0, 1.")
holds(beta1 0.9 1.9 "--beta1 must be in .0, 1.")
ends(1 "train_gpt: 'bad': --activation must be one of gelu, gelu_tanh, relu, silu, got 'geld'"
     "LC_ALL=C sed 's/gelu/geld/' whole >bad; ${run} --resume bad --save from-bad")
foreach(flag IN ITEMS "--clip nan" "--rate nan" "--weight-decay inf" "--beta2 nan" "--least-rate nan" "--dropout -1")
  ends(1 "train_gpt: --[a-z0-9-]+ must be " "${run} --steps 10 ${flag} --save from-bad")
endforeach()
ends(0 "" "! test -e from-bad && ! ls | grep weft-")
