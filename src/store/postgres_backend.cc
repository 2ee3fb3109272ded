#include <fmt/format.h>
#include <map>
#include <soci/postgresql/soci-postgresql.h>
#include <soci/soci.h>

#include "store/sql_database.h"

namespace llm::store {
namespace {

using Options = std::map<std::string, std::string>;

// As a URL without a blank: SOCI takes the string apart at blanks, even within a quoted value.
std::string connection_string(const Options& options) {
  std::string result = "postgresql://";
  char separator = '?';
  for (const auto& [name, value] : options) {
    result += separator + name + '=';
    separator = '&';
    for (const char c : value) {
      const bool plain = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
      result += plain ? std::string(1, c) : fmt::format("%{:02X}", static_cast<unsigned char>(c));
    }
  }
  return result;
}

// The parts of the URL that are set. libpq's own words about a bad one may quote the password.
Result<Options> parse_url(const std::string& url) {
  char* words = nullptr;
  PQconninfoOption* parsed = PQconninfoParse(url.c_str(), &words);
  if (words != nullptr) PQfreemem(words);
  if (parsed == nullptr) {
    return fail(ErrorCode::kInvalidArgument,
                "the database's URL is malformed; it must look like postgresql://user@host:5432/name");
  }
  Options options;
  for (const PQconninfoOption* option = parsed; option->keyword != nullptr; ++option) {
    if (option->val != nullptr) options[option->keyword] = option->val;
  }
  PQconninfoFree(parsed);
  return options;
}

void ignore_notice(void*, const char*) {}

std::unique_ptr<soci::session> open_connection(const std::string& options) {
  auto sql = std::make_unique<soci::session>(soci::postgresql, options);
  PGconn* connection = static_cast<soci::postgresql_session_backend*>(sql->get_backend())->conn_;
  PQsetNoticeProcessor(connection, ignore_notice, nullptr);
  PQsetErrorVerbosity(connection, PQERRORS_TERSE);  // the details quote values
  // What is committed survives a power cut, whatever the server's default is; a stronger setting stays.
  *sql << "SELECT set_config('synchronous_commit', 'on', false) WHERE current_setting('synchronous_commit') IN "
          "('off', 'local')";
  return sql;
}

std::string option_or(const Options& options, const std::string& name, std::string_view otherwise) {
  const auto found = options.find(name);
  return std::string(found == options.end() ? otherwise : std::string_view(found->second));
}

}  // namespace

Result<Backend> postgres_backend(const DatabaseSettings& settings) {
  auto options = parse_url(settings.url);
  if (!options) return fail(std::move(options.error()));
  if (!settings.password.empty()) options->try_emplace("password", settings.password);
  const auto patience = std::max(settings.busy_timeout, std::chrono::milliseconds(1));
  const auto seconds = std::max<std::int64_t>(2, (patience.count() + 999) / 1000);
  options->insert_or_assign("client_encoding", "UTF8");
  options->try_emplace("application_name", "llm-mcp");
  options->try_emplace("connect_timeout", std::to_string(seconds));
  // A server that went away without a word (a cut cable) is noticed after a while.
  options->try_emplace("keepalives_idle", "15");
  options->try_emplace("keepalives_interval", "5");
  options->try_emplace("keepalives_count", "3");
  options->try_emplace("tcp_user_timeout", std::to_string(std::max<std::int64_t>(patience.count() * 3, 15'000)));
  const std::string given = option_or(*options, "options", "");
  options->insert_or_assign("options",
                            fmt::format("{}{}-c lock_timeout={} -c idle_in_transaction_session_timeout={}", given,
                                        given.empty() ? "" : " ", patience.count(), 10 * patience.count() + 60'000));
  Backend backend;
  backend.dialect = Dialect::kPostgres;
  backend.description = fmt::format("PostgreSQL {} at {}:{}", option_or(*options, "dbname", "(default)"),
                                    option_or(*options, "host", "localhost"), option_or(*options, "port", "5432"));
  // Writes lock the rows that they depend on (Session::for_update), so that they need not be serialisable.
  backend.begin_write = "BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE";
  backend.begin_read = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY";
  backend.readers = std::max<std::size_t>(settings.connections, 1);
  backend.patience = patience;
  backend.open = [string = connection_string(*options)](bool) { return open_connection(string); };
  return backend;
}

}  // namespace llm::store
