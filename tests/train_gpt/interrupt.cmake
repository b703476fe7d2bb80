# SIGINT: train_gpt saves and exits cleanly, and the run that goes on ends with the bits of one that was never stopped.
# Run as: cmake -DPROGRAM=<train_gpt> -DWORK=<folder of its own> -P interrupt.cmake
cmake_minimum_required(VERSION 3.25)

file(REMOVE_RECURSE "${WORK}")
file(MAKE_DIRECTORY "${WORK}")
string(REPEAT "a text of which nothing is to be learned; " 50 text)
file(WRITE "${WORK}/text" "${text}")
set(run "'${PROGRAM}' --text text --layers 1 --heads 2 --width 8 --context 8 --batch 2 --sample 0 --eval-every 0")

# The signal comes when the first step is in the log.
execute_process(COMMAND sh -c "
  set -e
  ${run} --steps 3000 --save stopped --log log > out 2> err &
  until [ -s log ]; do sleep 0.02; done
  kill -INT $!
  wait $! || test $? = 3
  tail -n 1 log | grep -q '\"done\":false'
  ${run} --steps 3000 --resume stopped --save resumed > out 2> err
  ${run} --steps 3000 --save whole > out 2> err
  cmp resumed whole" WORKING_DIRECTORY "${WORK}" COMMAND_ERROR_IS_FATAL ANY)
