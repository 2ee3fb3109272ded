#pragma once

#include <string>
#include <string_view>

#include "base/error.h"
#include "base/paths.h"

namespace llm::cli {

// What a secret setting stands for. A text that starts with one of these names a place to read it from, so that the
// configuration need not hold it; anything else is the secret itself.
//   env:NAME          the environment variable
//   file:/path        the file, without the line end at its end; at most 64 KiB
//   credential:NAME   the file NAME in $CREDENTIALS_DIRECTORY (systemd's LoadCredential=)
// kInvalidArgument, kNotFound, kIo with the name of the place; never what is in it.
Result<std::string> resolve_secret(std::string_view text, const EnvLookup& env);

}  // namespace llm::cli
