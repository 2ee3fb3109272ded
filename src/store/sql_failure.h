#pragma once

#include <exception>

#include "store/session.h"

// The one place where what SOCI throws becomes an Error.
namespace llm::store {

struct SqlFailure {
  Error error;
  bool again = false;    // nothing was done, and it may well work the next time
  bool lost = false;     // the connection is gone: the others that are idle probably are too
  bool discard = false;  // the connection is not to be used again
  bool undone = true;    // at a COMMIT: surely not committed
};

// Of the exception that is being handled; call it in a catch block. `connection`: null while it is being opened.
// Rethrows what is not the database's.
SqlFailure current_failure(Dialect dialect, soci::session* connection);

}  // namespace llm::store
