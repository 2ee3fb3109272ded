#include "cli/config.h"

#include <algorithm>
#include <cerrno>
#include <fmt/format.h>
#include <fstream>
#include <set>
#include <sstream>
#include <sys/stat.h>
#include <unistd.h>

#include "base/strings.h"
#include "cli/secret_references.h"
#include "cli/yaml.h"

namespace llm::cli {
namespace {

constexpr std::string_view kPrefix = "LLM_MCP_";
constexpr std::uintmax_t kMaxFileBytes = 4U << 20;

const json::TableBase& settings_table() {
  return json::Fields<Settings>::table();
}

std::string to_pointer(const std::vector<std::string>& tokens) {
  std::string pointer;
  for (const auto& token : tokens) pointer = json::pointer_join(pointer, token);
  return pointer;
}

// "qwen2.5-7b" and QWEN2_5_7B are the same name: a variable's name has neither case nor punctuation.
bool same_name(std::string_view a, std::string_view b) {
  const auto plain = [](char c) {
    if (c >= 'A' && c <= 'Z') return static_cast<char>(c + 32);
    const bool alphanumeric = (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9');
    return alphanumeric ? c : '_';
  };
  return std::ranges::equal(a, b, {}, plain, plain);
}

// The value that `text` means for a setting of this type (nullptr: of unknown type).
Result<json::value> value_of(std::string_view text, const json::Type* type) {
  using json::Kind;
  const Kind kind = type == nullptr ? Kind::kAny : type->kind();
  if (kind == Kind::kString || kind == Kind::kEnum || kind == Kind::kDuration || kind == Kind::kByteSize) {
    return json::value(text);
  }
  if (kind == Kind::kList && !trim(text).starts_with('[')) {
    json::array list;
    for (const auto item : split(text, ',')) {
      if (!trim(item).empty()) list.emplace_back(trim(item));
    }
    return list;
  }
  auto parsed = parse_yaml(text);
  if (!parsed) return fail(std::move(parsed.error()));
  return std::move(parsed->value);
}

class Loader {
 public:
  Result<LoadedConfig> load(const Sources& sources) {
    if (sources.file) {
      if (auto done = add_file(*sources.file); !done) return fail(std::move(done.error()));
    }
    for (const auto& [name, text] : sources.environment) {
      if (auto done = add_variable(name, text); !done) return fail(std::move(done.error()));
    }
    for (const auto& flag : sources.flags) {
      if (auto done = add_flag(flag); !done) return fail(std::move(done.error()));
    }
    return finish(sources);
  }

 private:
  Result<void> add_file(const std::filesystem::path& file) {
    auto text = read(file);
    if (!text) return fail(std::move(text.error()));
    auto parsed = parse_yaml(*text);
    if (!parsed) {
      Error error = std::move(parsed.error());
      const auto detail = [&error](std::size_t i) { return std::get<std::int64_t>(error.details[i].value); };
      error.message = fmt::format("{}:{}:{}: {}", file.string(), detail(0), detail(1), error.message);
      return fail(std::move(error));
    }
    if (parsed->value.is_null()) return {};
    if (!parsed->value.is_object()) {
      return fail(ErrorCode::kInvalidArgument,
                  fmt::format("{}:1:1: expected sections such as \"server:\", got something else", file.string()));
    }
    config_.document = std::move(parsed->value.get_object());
    for (const auto& [pointer, position] : parsed->positions) {
      config_.sources[pointer] = fmt::format("{}:{}:{}", file.string(), position.line, position.column);
      from_file_.insert(pointer);
    }
    return {};
  }

  static Result<std::string> read(const std::filesystem::path& file) {
    std::error_code error;
    const auto size = std::filesystem::file_size(file, error);
    if (error) return fail(errno_error(error.value(), fmt::format("cannot read {}", file.string())));
    if (size > kMaxFileBytes) {
      return fail(ErrorCode::kInvalidArgument, fmt::format("{} has {}; a configuration may have {}", file.string(),
                                                           format_bytes(size), format_bytes(kMaxFileBytes)));
    }
    std::ifstream in(file, std::ios::binary);
    if (!in) return fail(errno_error(errno, fmt::format("cannot read {}", file.string())));
    std::ostringstream text;
    text << in.rdbuf();
    return std::move(text).str();
  }

  Result<void> add_variable(const std::string& name, const std::string& text) {
    if (!name.starts_with(kPrefix)) return {};
    const std::string_view rest = std::string_view(name).substr(kPrefix.size());
    std::vector<std::string> tokens;
    for (std::size_t start = 0; start <= rest.size();) {
      const auto end = std::min(rest.find("__", start), rest.size());
      tokens.push_back(to_lower(rest.substr(start, end - start)));
      start = end + 2;
    }
    if (tokens.size() == 1) return {};  // LLM_MCP_CONFIG and its like
    if (settings_table().find(tokens.front()) == nullptr) {
      warn_of_section(name, tokens.front());
      return {};
    }
    return set(use_known_names(std::move(tokens)), text, "environment variable " + name);
  }

  void warn_of_section(const std::string& name, const std::string& section) {
    std::vector<std::string> known;
    for (const auto& field : settings_table().fields()) known.emplace_back(field.name);
    const auto near = nearest(section, known, 1);
    if (near.empty()) return;
    config_.warnings.push_back(
        fmt::format("environment variable {} is ignored: there is no section \"{}\"; did you mean \"{}\"?", name,
                    section, near.front()));
  }

  // Where a map already has an entry of (nearly) that name, that entry is meant.
  std::vector<std::string> use_known_names(std::vector<std::string> tokens) const {
    const json::object* here = &config_.document;
    for (std::size_t i = 0; i < tokens.size() && here != nullptr; ++i) {
      const json::Type* parent = json::find_type(settings_table(), std::span(tokens).first(i));
      if (parent != nullptr && parent->kind() == json::Kind::kMap) {
        const auto found = std::ranges::find_if(*here, [&](const auto& e) { return same_name(e.key(), tokens[i]); });
        if (found != here->end()) tokens[i] = found->key();
      }
      const json::value* next = here->if_contains(tokens[i]);
      here = next == nullptr ? nullptr : next->if_object();
    }
    return tokens;
  }

  Result<void> add_flag(const Flag& flag) {
    auto tokens = parse_dotted_path(flag.path);
    if (!tokens) {
      tokens.error().message = fmt::format("{}: {}", flag.name, tokens.error().message);
      return fail(std::move(tokens.error()));
    }
    return set(*tokens, flag.text, flag.name);
  }

  Result<void> set(const std::vector<std::string>& tokens, const std::string& text, const std::string& source) {
    auto value = value_of(text, json::find_type(settings_table(), tokens));
    if (!value) {
      value.error().message = fmt::format("{}: {}", source, value.error().message);
      return fail(std::move(value.error()));
    }
    json::object* here = &config_.document;
    for (std::size_t i = 0; i + 1 < tokens.size(); ++i) {
      json::value& next = (*here)[tokens[i]];
      if (!next.is_null() && !next.is_object()) return {};  // wrong already; decoding says so and where
      here = next.is_object() ? &next.get_object() : &next.emplace_object();
    }
    (*here)[tokens.back()] = std::move(*value);
    const std::string pointer = to_pointer(tokens);
    std::erase_if(config_.sources, [&](const auto& entry) { return entry.first.starts_with(pointer + "/"); });
    config_.sources[pointer] = source;
    from_file_.erase(pointer);
    return {};
  }

  Result<LoadedConfig> finish(const Sources& sources) {
    if (auto done = resolve_secrets(); !done) return fail(located(std::move(done.error())));
    const json::DecodeOptions options{.null_is_absent = true, .noun = "key"};
    if (auto done = json::decode_into(json::value(config_.document), config_.settings, options); !done) {
      return fail(located(std::move(done.error())));
    }
    if (auto done = check_settings(config_.settings); !done) return fail(located(std::move(done.error())));
    if (sources.file) warn_of_open_file(*sources.file);
    return std::move(config_);
  }

  // Puts the place before the message: the source that set the value, or its nearest parent.
  Error located(Error error) const {
    std::string pointer = error.pointer;
    auto found = config_.sources.find(pointer);
    while (found == config_.sources.end() && !pointer.empty()) {
      pointer.resize(pointer.rfind('/'));
      found = config_.sources.find(pointer);
    }
    if (found == config_.sources.end()) {  // then something below it is what does not belong there
      const auto below = config_.sources.lower_bound(error.pointer + "/");
      if (below != config_.sources.end() && below->first.starts_with(error.pointer + "/")) found = below;
    }
    const std::string path = dotted_path(error.pointer);
    if (found == config_.sources.end()) {
      error.message = fmt::format("configuration: {}: {}", path, error.message);
    } else if (pointer == error.pointer && !from_file_.contains(pointer)) {
      error.message = fmt::format("{}: {}", found->second, error.message);
    } else {
      error.message = fmt::format("{}: {}: {}", found->second, path, error.message);
    }
    return error;
  }

  // The field that a pointer leads to; null if it leads to no field of a table.
  static const json::FieldBase* field_at(std::string_view pointer) {
    const auto tokens = pointer_tokens(pointer);
    if (tokens.empty()) return nullptr;
    const json::Type* parent = json::find_type(settings_table(), std::span(tokens).first(tokens.size() - 1));
    const json::TableBase* table = tokens.size() == 1 ? &settings_table() : parent ? parent->table() : nullptr;
    return table == nullptr ? nullptr : table->find(tokens.back());
  }

  // Secrets that name a place are replaced by what is there.
  Result<void> resolve_secrets() {
    for (const auto& [pointer, source] : config_.sources) {
      const json::FieldBase* field = field_at(pointer);
      if (field == nullptr || !field->options.secret) continue;
      boost::system::error_code missing;
      json::value root(std::move(config_.document));
      json::value* held = root.find_pointer(pointer, missing);
      Result<std::string> secret = std::string();
      if (held != nullptr && held->is_string()) {
        secret = resolve_secret(std::string_view(held->get_string()), process_environment());
        if (secret && *secret != std::string_view(held->get_string())) {
          *held = *secret;
          referenced_.insert(pointer);
        }
      }
      config_.document = std::move(root.get_object());
      if (!secret) return fail(std::move(secret.error()).at(pointer));
    }
    return {};
  }

  void warn_of_open_file(const std::filesystem::path& file) {
    struct stat info{};
    if (::stat(file.c_str(), &info) != 0 || (info.st_mode & 077) == 0) return;
    std::vector<std::string> secrets;
    for (const auto& pointer : from_file_) {
      const json::FieldBase* field = field_at(pointer);
      if (field == nullptr || !field->options.secret || referenced_.contains(pointer)) continue;
      secrets.push_back(dotted_path(pointer));
    }
    if (secrets.empty()) return;
    config_.warnings.push_back(fmt::format("{} holds {} and other users can read it; run chmod 600 on it",
                                           file.string(), fmt::join(secrets, ", ")));
  }

  LoadedConfig config_;
  std::set<std::string> from_file_;   // the pointers whose source is the file
  std::set<std::string> referenced_;  // secrets that were read from another place
};

}  // namespace

Result<LoadedConfig> load_config(const Sources& sources) {
  return Loader().load(sources);
}

std::optional<std::filesystem::path> default_config_file(const EnvLookup& env) {
  if (const auto named = env("LLM_MCP_CONFIG"); named && !named->empty()) return expand_home(*named, env);
  const auto dir = config_dir(env);
  std::error_code ignored;
  if (dir && std::filesystem::exists(*dir / "llm-mcp.yaml", ignored)) return *dir / "llm-mcp.yaml";
  return std::nullopt;
}

std::map<std::string, std::string> config_environment() {
  std::map<std::string, std::string> variables;
  for (char** entry = ::environ; entry != nullptr && *entry != nullptr; ++entry) {
    const std::string_view text(*entry);
    const auto equals = text.find('=');
    if (text.starts_with(kPrefix) && equals != std::string_view::npos) {
      variables.emplace(text.substr(0, equals), text.substr(equals + 1));
    }
  }
  return variables;
}

std::vector<std::string> pointer_tokens(std::string_view pointer) {
  std::vector<std::string> tokens;
  if (pointer.empty()) return tokens;
  for (const auto part : split(pointer.substr(1), '/')) {
    std::string token;
    for (std::size_t i = 0; i < part.size(); ++i) {
      const bool escape = part[i] == '~' && i + 1 < part.size();
      token.push_back(!escape ? part[i] : part[++i] == '1' ? '/' : '~');
    }
    tokens.push_back(std::move(token));
  }
  return tokens;
}

std::string dotted_path(std::string_view pointer) {
  std::string out;
  for (const auto& token : pointer_tokens(pointer)) {
    if (!out.empty()) out.push_back('.');
    const bool quote = token.empty() || token.find_first_of(".\" ") != std::string::npos;
    if (quote) {
      json::append_quoted(out, token);
    } else {
      out += token;
    }
  }
  return out;
}

Result<std::vector<std::string>> parse_dotted_path(std::string_view path) {
  std::vector<std::string> tokens;
  std::string token;
  bool quoted = false;
  for (const char c : path) {
    if (c == '"') {
      quoted = !quoted;
    } else if (c == '.' && !quoted) {
      tokens.push_back(std::move(token));
      token.clear();
    } else {
      token.push_back(c);
    }
  }
  tokens.push_back(std::move(token));
  if (quoted || std::ranges::any_of(tokens, [](const auto& name) { return name.empty(); })) {
    return fail(ErrorCode::kInvalidArgument, fmt::format("\"{}\" is not a setting such as server.port", path));
  }
  return tokens;
}

}  // namespace llm::cli
