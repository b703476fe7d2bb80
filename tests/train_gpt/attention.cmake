# train_gpt --attention: a picture, or text, of what a run or a saved run looks at.
# Run as: cmake -DPROGRAM=<train_gpt> -DWORK=<folder of its own> -P attention.cmake
cmake_minimum_required(VERSION 3.25)

file(REMOVE_RECURSE "${WORK}")
file(MAKE_DIRECTORY "${WORK}")
string(REPEAT "a <b> & c;\n" 60 text)
file(WRITE "${WORK}/text" "${text}")
set(small --text "${WORK}/text" --layers 3 --heads 2 --width 8 --context 16 --batch 2 --steps 3 --sample 0)

function(run)
  execute_process(COMMAND "${PROGRAM}" ${ARGN} RESULT_VARIABLE result OUTPUT_VARIABLE output ERROR_VARIABLE error)
  if(NOT result EQUAL 0)
    message(SEND_ERROR "${ARGN}: expected success, got ${result}:\n${error}")
  endif()
endfunction()

function(fails pattern)
  execute_process(COMMAND "${PROGRAM}" ${small} ${ARGN} RESULT_VARIABLE result OUTPUT_VARIABLE output ERROR_VARIABLE error)
  if(result EQUAL 0 OR NOT output STREQUAL "" OR NOT error MATCHES "${pattern}" OR NOT result MATCHES "^[0-9]+$")
    message(SEND_ERROR "${ARGN}: expected a failure that says '${pattern}', got ${result}:\n${output}${error}")
  endif()
endfunction()

function(holds file count pattern)  # the pattern occurs so often
  file(READ "${WORK}/${file}" content)
  string(REPLACE ";" "," content "${content}")  # a list's
  string(REGEX MATCHALL "${pattern}" found "${content}")
  list(LENGTH found times)
  if(NOT times EQUAL count)
    message(SEND_ERROR "${file}: expected ${count} of '${pattern}', found ${times}")
  endif()
endfunction()

# All layers and heads over the beginning of the held-out tenth, 16 characters.
run(${small} --save "${WORK}/saved" --attention "${WORK}/all.svg")
holds(all.svg 6 ">head [01]</text>")
holds(all.svg 3 ">decoder/[012]/attention</text>")
holds(all.svg 1 "bold\">Attention after step 3</text>")
holds(all.svg 6 "<rect [^\n]*fill=\"none\"")

# A saved run that is at its end; chosen layers and heads; the text is escaped and its spaces are seen.
run(--text "${WORK}/text" --resume "${WORK}/saved" --sample 0 --attention "${WORK}/some.svg" --attention-text "a <b> &"
    --attention-layers 2,0 --attention-heads 1 --attention-divide columns)
holds(some.svg 2 ">head 1</text>")
holds(some.svg 0 ">head 0</text>")
holds(some.svg 0 "decoder/1/")
holds(some.svg 4 ">&lt,</text>")
holds(some.svg 4 ">&amp,</text>")
holds(some.svg 8 ">␣</text>")
holds(some.svg 1 "each column sums to one")

# Text: the first character sees only itself, each row is causal.
run(--text "${WORK}/text" --resume "${WORK}/saved" --sample 0 --attention "${WORK}/some.txt" --attention-text "a <b> &")
holds(some.txt 6 "\na .██ +.\n")
holds(some.txt 3 "decoder/[012]/attention, head 0\n")

set(precious --save "${WORK}/precious" --overwrite)
file(COPY_FILE "${WORK}/saved" "${WORK}/precious")
fails("as .svg or .txt, got" ${precious} --attention "${WORK}/a.png")
fails("there is no folder" ${precious} --attention "${WORK}/none/a.svg")
fails("there is no layer 3, the model has 0 to 2" ${precious} --attention "${WORK}/a.svg" --attention-layers 0,3)
fails("there is no head 2, the model has 0 to 1" ${precious} --attention "${WORK}/a.svg" --attention-heads 2)
fails("has 17 characters, the model's context is 16" ${precious} --attention "${WORK}/a.svg" --attention-text "aaaaaaaaaaaaaaaaa")
fails("is not among the" ${precious} --attention "${WORK}/a.svg" --attention-text "Q")
file(SHA256 "${WORK}/saved" before)
file(SHA256 "${WORK}/precious" after)
if(NOT before STREQUAL after OR EXISTS "${WORK}/a.svg")
  message(SEND_ERROR "a run that was refused wrote a file")
endif()
