// train_gpt: a GPT learns the characters of a text. `train_gpt --help` lists the flags.
//
//   options.*  flags        recipe.*  what a save must remember    data.*  text to tokens
//   model.cpp  the graph and its two steps    trainer.*  the loop    sampler.*  text from the model
//   attention_picture.*  what the model looks at
#include "data.h"
#include "options.h"
#include "trainer.h"

#include <weft/graph/error.h>
#include <weft/io/log.h>
#include <weft/io/run_state.h>
#include <weft/runtime/parallel.h>

#include <fmt/format.h>

#include <cerrno>
#include <csignal>
#include <cstdio>
#include <exception>

#include <fcntl.h>

namespace {

extern "C" void request_stop(int signal) {
  train_gpt::stop_requested = 1;
  std::signal(signal, SIG_DFL);  // a second one ends at once
}

// A file that is opened later must not become the stream that a closed one was.
void keep_standard_streams() {
  for (int stream = 0; stream <= 2; ++stream)
    if (::fcntl(stream, F_GETFD) < 0 && errno == EBADF) static_cast<void>(::open("/dev/null", O_RDWR));
}

train_gpt::Ending run(const train_gpt::Options& options) {
  using namespace train_gpt;
  Recipe recipe = options.recipe;
  if (!options.resume.empty()) {
    const weft::Metadata notes = weft::read_run_notes(options.resume);
    const auto saved = notes.find("train_gpt");
    WEFT_CHECK(saved != notes.end(), "'{}' was not saved by train_gpt", options.resume);
    const Recipe found = from_json(saved->second);
    validate(found, fmt::format("'{}': ", options.resume));
    recipe = merge_saved(options, found);
  }
  resolve(recipe, "");
  expect_own_files(options);
  if (options.threads > 0) weft::set_threads(options.threads);
  Data data = read_data(options, recipe);
  Trainer trainer(options, recipe, std::move(data));
  for (const int signal : {SIGINT, SIGTERM, SIGHUP}) std::signal(signal, request_stop);
  return trainer.run();
}

}  // namespace

int main(int argc, char** argv) {
  keep_standard_streams();
  std::signal(SIGPIPE, SIG_IGN);  // a reader that goes is an error of the write, which saves the run
  try {
    const train_gpt::ParsedOptions parsed = train_gpt::parse_options(argc, argv);
    if (!parsed.options) {
      weft::expect_printed(stdout);
      return parsed.exit_code;
    }
    return static_cast<int>(run(*parsed.options));
  } catch (const std::exception& error) {
    train_gpt::tell(fmt::format("train_gpt: {}", error.what()));
    return static_cast<int>(train_gpt::Ending::failed);
  }
}
