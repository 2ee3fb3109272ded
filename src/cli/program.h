#pragma once

namespace llm::cli {

// The program: reads the command line, runs the command, reports its error. Returns the exit status.
int run_program(int argc, char** argv);

}  // namespace llm::cli
