#include "cli/program.h"

int main(int argc, char** argv) {
  return llm::cli::run_program(argc, argv);
}
