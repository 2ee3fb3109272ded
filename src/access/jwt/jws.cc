#include "access/jwt/jws.h"

#include <algorithm>
#include <array>
#include <boost/json/basic_parser_impl.hpp>
#include <set>
#include <utility>

#include "access/jwt/jwk.h"
#include "access/jwt/signature.h"
#include "base/strings.h"
#include "net/base64.h"

namespace llm::access {
namespace {

constexpr std::array<std::pair<JwsAlgorithm, std::string_view>, 13> kNames = {{
    {JwsAlgorithm::kEdDSA, "EdDSA"},
    {JwsAlgorithm::kES256, "ES256"},
    {JwsAlgorithm::kES384, "ES384"},
    {JwsAlgorithm::kES512, "ES512"},
    {JwsAlgorithm::kRS256, "RS256"},
    {JwsAlgorithm::kRS384, "RS384"},
    {JwsAlgorithm::kRS512, "RS512"},
    {JwsAlgorithm::kPS256, "PS256"},
    {JwsAlgorithm::kPS384, "PS384"},
    {JwsAlgorithm::kPS512, "PS512"},
    {JwsAlgorithm::kHS256, "HS256"},
    {JwsAlgorithm::kHS384, "HS384"},
    {JwsAlgorithm::kHS512, "HS512"},
}};

constexpr std::size_t kMaxHeaderBytes = 4096;
constexpr std::size_t kMaxKeyIdBytes = 256;
constexpr std::size_t kMaxDepth = 16;

std::unexpected<Error> refuse(std::string message) {
  return fail(ErrorCode::kUnauthenticated, std::move(message));
}

// Takes the events of Boost.JSON's parser and stops at the first member that its object has already.
struct DuplicateFinder {
  static constexpr std::size_t max_array_size = static_cast<std::size_t>(-1);
  static constexpr std::size_t max_object_size = static_cast<std::size_t>(-1);
  static constexpr std::size_t max_string_size = static_cast<std::size_t>(-1);
  static constexpr std::size_t max_key_size = static_cast<std::size_t>(-1);
  using Code = boost::system::error_code;
  using View = boost::json::string_view;

  std::vector<std::set<std::string, std::less<>>> open = {};
  std::string key = {};
  bool duplicate = false;

  bool on_document_begin(Code&) { return true; }
  bool on_document_end(Code&) { return true; }
  bool on_object_begin(Code&) {
    open.emplace_back();
    return true;
  }
  bool on_object_end(std::size_t, Code&) {
    open.pop_back();
    return true;
  }
  bool on_array_begin(Code&) { return true; }
  bool on_array_end(std::size_t, Code&) { return true; }
  bool on_key_part(View part, std::size_t, Code&) {
    key.append(part.data(), part.size());
    return true;
  }
  bool on_key(View part, std::size_t, Code& error) {
    key.append(part.data(), part.size());
    duplicate = !open.back().insert(std::exchange(key, {})).second;
    if (duplicate) error = boost::json::error::syntax;
    return !duplicate;
  }
  bool on_string_part(View, std::size_t, Code&) { return true; }
  bool on_string(View, std::size_t, Code&) { return true; }
  bool on_number_part(View, Code&) { return true; }
  bool on_int64(std::int64_t, View, Code&) { return true; }
  bool on_uint64(std::uint64_t, View, Code&) { return true; }
  bool on_double(double, View, Code&) { return true; }
  bool on_bool(bool, Code&) { return true; }
  bool on_null(Code&) { return true; }
  bool on_comment_part(View, Code&) { return true; }
  bool on_comment(View, Code&) { return true; }
};

// A header member that is a string, or is not there.
Result<std::string> text_member(const json::object& header, std::string_view name) {
  const auto* found = json::find(header, name);
  if (!found) return std::string();
  if (!found->is_string()) return refuse("a member of the token's header has the wrong type");
  return std::string(std::string_view(found->get_string()));
}

Result<void> read_header(std::string_view text, JwsParts& out) {
  if (text.size() > kMaxHeaderBytes) return refuse("the token's header is too large");
  const auto document = parse_without_duplicates(text);
  if (!document || !document->is_object())
    return refuse("the token's header is not a JSON object with each member once");
  const auto& header = document->get_object();
  // Nobody here understands an extension, and who names one says that the token must not be used then.
  if (json::find(header, "crit")) return refuse("the token's header has `crit`, which names extensions unknown here");
  if (json::find(header, "b64")) return refuse("the token's header has `b64`");
  const auto name = text_member(header, "alg");
  if (!name) return fail(name.error());
  const auto algorithm = jws_algorithm(*name);
  if (!algorithm) return refuse("the token's header names no signature algorithm that is known here");
  out.algorithm = *algorithm;
  auto key_id = text_member(header, "kid");
  if (!key_id) return fail(std::move(key_id.error()));
  if (key_id->size() > kMaxKeyIdBytes) return refuse("the token's `kid` is too long");
  out.key_id = std::move(*key_id);
  auto type = text_member(header, "typ");
  if (!type) return fail(std::move(type.error()));
  out.type = std::move(*type);
  return {};
}

}  // namespace

std::string_view to_string(JwsAlgorithm algorithm) {
  return std::ranges::find(kNames, algorithm, &std::pair<JwsAlgorithm, std::string_view>::first)->second;
}

std::optional<JwsAlgorithm> jws_algorithm(std::string_view name) {
  const auto* found = std::ranges::find(kNames, name, &std::pair<JwsAlgorithm, std::string_view>::second);
  if (found == kNames.end()) return std::nullopt;
  return found->first;
}

bool is_symmetric(JwsAlgorithm algorithm) {
  return algorithm >= JwsAlgorithm::kHS256;
}

Result<json::value> parse_without_duplicates(std::string_view text) {
  auto document = json::parse(text, {.max_depth = kMaxDepth});
  if (!document) return document;
  boost::json::parse_options options;
  options.max_depth = kMaxDepth;
  boost::json::basic_parser<DuplicateFinder> finder(options);
  boost::system::error_code error;
  finder.write_some(false, text.data(), text.size(), error);
  if (finder.handler().duplicate) return fail(ErrorCode::kMalformed, "a JSON object has a member twice");
  return document;
}

Result<JwsParts> parse_jws(std::string_view text, std::size_t max_bytes) {
  if (text.size() > max_bytes) return refuse("the token is too long");
  const auto first = text.find('.');
  const auto second = first == std::string_view::npos ? first : text.find('.', first + 1);
  if (second == std::string_view::npos || text.find('.', second + 1) != std::string_view::npos) {
    return refuse("the token is not three parts between two dots");
  }
  const auto header = base64url_decode(text.substr(0, first));
  auto payload = base64url_decode(text.substr(first + 1, second - first - 1));
  auto signature = base64url_decode(text.substr(second + 1));
  if (!header || !payload || !signature) return refuse("the token's parts are not Base64url without padding");
  JwsParts out;
  if (auto read = read_header(*header, out); !read) return fail(std::move(read.error()));
  if (signature->empty()) return refuse("the token has no signature");
  out.payload = std::move(*payload);
  out.signature = std::move(*signature);
  out.signed_text = text.substr(0, second);
  return out;
}

Result<void> verify_jws(const JwsParts& jws, const Jwk& key, std::span<const JwsAlgorithm> allowed) {
  if (std::ranges::find(allowed, jws.algorithm) == allowed.end()) {
    return refuse("the token's signature algorithm is not allowed here");
  }
  // Also what keeps a public key from being taken for a shared secret.
  if (!key.fits(jws.algorithm)) return refuse("the token's signature algorithm is not its key's");
  if (!signature_is_right(jws.algorithm, key, jws.signed_text, jws.signature)) {
    return refuse("the token's signature is wrong");
  }
  return {};
}

Result<std::string> sign_jws(const Jwk& key, std::string_view type, std::string_view payload) {
  if (!key.is_private() || !key.algorithm()) return fail(ErrorCode::kInternal, "this key cannot sign");
  json::object header;
  header["alg"] = to_string(*key.algorithm());
  header["typ"] = type;
  header["kid"] = key.id();
  std::string out = base64url_encode(json::write(header));
  out += '.';
  out += base64url_encode(payload);
  auto signature = make_signature(*key.algorithm(), key, out);
  if (!signature) return fail(std::move(signature.error()));
  out += '.';
  out += base64url_encode(*signature);
  return out;
}

}  // namespace llm::access
