#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <string>
#include <string_view>

#include "base/error.h"
#include "json/json.h"
#include "store/database.h"

namespace llm::access {

// Who did what, on what, from where, and how it ended. Never a secret; prompts and answers only where the project opted
// in.
struct AuditEvent {
  std::int64_t time = 0;  // milliseconds since 1970; 0: now
  std::string request_id = {};
  std::string principal = {};  // Principal::id
  std::string project = {};
  std::string user = {};
  std::string address = {};
  std::string action = {};   // "generate", "model.pull", "key.create", "auth.failed", …
  std::string target = {};   // a model, a key's id, a role, …
  std::string outcome = {};  // "ok", or an error's name
  std::string message = {};  // of the error
  std::int64_t input_tokens = 0;
  std::int64_t output_tokens = 0;
  json::value before = {};  // admin actions
  json::value after = {};
  json::value prompt = {};  // where the project opted in
  json::value answer = {};
};

struct AuditSettings {
  std::filesystem::path directory;           // 0700; files audit-<chain>-<first seq>.jsonl, 0600
  std::uint64_t rotate_bytes = 64ULL << 20;  // a new file after so many; the chain goes on in it
  std::int64_t retention_days = 0;           // older files and rows are removed; 0: never
  std::size_t queue_limit = 10'000;          // events that wait to be written; see record()
};

// The audit trail: JSON lines in files, each with the hash of the one before it, and a copy in the database. One writer
// thread writes what has come together with one fdatasync; another copies to the database, which may be away for as
// long as it likes: the files are the truth, and what is missing in the table is taken from them. Any thread may
// record.
//
// A line is {"seq": 1, 2, …, "time": ISO 8601 in UTC with milliseconds, "chain": id, "request_id", "principal",
// "project", "user", "address", "action", "target", "outcome", and where there is any: "message", "input_tokens",
// "output_tokens", "before", "after", "prompt", "answer"; "prev": the hash of the line before, "hash": its own}. No
// spaces, members in this order, hash last. The first line of a chain is the action "audit.genesis" with sixty-four
// zeros as "prev". See audit_hash() for what a hash covers. A chain belongs to one process at a time (a lock); a second
// gateway with the same directory has a chain of its own.
//
// What this finds and what not: whoever changes, removes, inserts or reorders lines breaks the chain at that place.
// Whoever may write the files can cut off the newest lines of a chain and nothing in the files tells; the table does,
// as long as it is out of that person's reach. Whoever may write the files and the table can make up a new history.
// Copy the files or the last hash to another machine if that is a danger.
//
// Texts that look like API keys, tokens or passwords are masked before a line is written, whoever forgot to leave them
// out.
class AuditLog {
 public:
  // Goes on with a chain of the directory that no other process has, the newest one first, after checking its end: a
  // line cut by a crash, which nobody was told of, is cut off; else begins one. `database` may be null (files only).
  // Errors: a directory that cannot be written, a chain that does not verify or ends before the table does (kConflict).
  // `on_problem` is called on any thread and must not call back.
  static Result<std::unique_ptr<AuditLog>> open(AuditSettings settings, store::Database* database,
                                                std::function<void(const Error&)> on_problem);
  virtual ~AuditLog() = default;  // writes what waits

  // For requests: returns at once. When the queue is full the caller waits for the writer, for at most a second. An
  // event is never dropped silently: on_problem hears of one that could not be written, readiness() turns false, and
  // once lines can be written again one says how many are missing ("audit.lost").
  virtual void record(AuditEvent event) = 0;
  // For admin actions: on stable storage when it returns. Blocks. After an error (kDiskFull, kIo) it is not in the
  // trail and will not be: do not do, or undo, what it was about.
  virtual Result<void> commit(AuditEvent event) = 0;
  // The same for what was recorded so far; and if the database is there, the table has it. Blocks. After an error it is
  // tried again, nothing is lost.
  virtual Result<void> flush() = 0;
  // An error as long as events that should be on the disk are not, or the trail does not fit the table.
  virtual Result<void> readiness() const = 0;
};

// Checks files (and rows, if a database is given) from the first to the last line: nothing changed, removed, inserted
// or put in another order. -> {chains: [{chain, records, first, last, last_hash, files, …}], ok: true}; kConflict names
// file and line, in the message and as details. A first file that begins beyond line 1 is right only if a later line of
// the chain ("audit.retention") says with its hash that what came before was removed. With a database each row must be
// the line, and the files must not end before the rows; "rows_behind" says how many of the newest lines have no row yet
// (after a crash or while the database is away, until the next gateway copies them), "rows_first" where rows begin if
// older ones were removed, "unfinished_bytes" what a crash or a writer at work left at the end. Rows whose chain has no
// file here are an error unless the database is shared with gateways on other machines. May run beside a gateway.
Result<json::object> verify_audit(const std::filesystem::path& directory, store::Database* database);

// The hash of a line: SHA-256, as 64 hex digits in lower case, over the 64 digits of the previous line's hash (zeros
// for the first) followed by the bytes of the line as it stands in the file without its hash member, that is
// `{…,"prev":"…"}`: what comes before `,"hash":"`, and the closing brace; without the newline.
std::string audit_hash(std::string_view previous_hash, std::string_view line_without_hash);

}  // namespace llm::access
