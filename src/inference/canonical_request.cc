#include "inference/canonical_request.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>
#include <vector>

namespace llm::inference {
namespace {

// Members of a request that do not change what the model says.
constexpr std::array<std::string_view, 17> kLeftOut{
    "cache",    "cache_prompt",     "cache_salt", "id_slot",    "keep_alive",        "metadata", "model",
    "priority", "prompt_cache_key", "request_id", "session_id", "safety_identifier", "store",    "stream",
    "user",     "stream_options",   "timeout",
};

bool left_out(std::string_view member) {
  return std::ranges::find(kLeftOut, member) != kLeftOut.end();
}

// How a value is written, which depends on where it stands.
enum class Scope : std::uint8_t {
  kRequest,   // the whole
  kMember,    // of the request: a number by its value, anything bigger as it was written
  kMessages,  // the list of them
  kMessage,
  kContent,  // a text or a list of parts
  kLoose,    // one spelling all the way down
  kVerbatim,
};

Scope member_scope(Scope of, std::string_view key) {
  switch (of) {
    case Scope::kRequest:
      if (key == "messages") return Scope::kMessages;
      return key == "logit_bias" ? Scope::kLoose : Scope::kMember;
    case Scope::kMessage:
      return key == "content" ? Scope::kContent : Scope::kMember;
    case Scope::kLoose:
      return Scope::kLoose;
    default:
      return Scope::kVerbatim;
  }
}

Scope item_scope(Scope of) {
  switch (of) {
    case Scope::kMessages:
      return Scope::kMessage;
    case Scope::kContent:  // parts: text, image_url, input_audio; templates take them apart
    case Scope::kLoose:
      return Scope::kLoose;
    default:
      return Scope::kVerbatim;
  }
}

template <class Number>
void append_number(std::string& out, char kind, Number number) {
  std::array<char, 32> text;
  const auto end = std::to_chars(text.data(), text.data() + text.size(), number).ptr;
  out.push_back(kind);
  out.append(text.data(), end);
  out.push_back(';');
}

void append_double(std::string& out, double number, bool by_value) {
  if (by_value && number == std::trunc(number)) {
    // The bounds are powers of two, so these comparisons and casts are exact.
    if (number >= -0x1p63 && number < 0x1p63) return append_number(out, 'i', static_cast<std::int64_t>(number));
    if (number >= 0 && number < 0x1p64) return append_number(out, 'i', static_cast<std::uint64_t>(number));
  }
  append_number(out, 'd', number);
}

void append_value(std::string& out, const json::value& value, Scope scope);

void append_object(std::string& out, const json::object& object, Scope scope) {
  using Member = const boost::json::key_value_pair*;
  out.push_back('{');
  auto append = [&](const boost::json::key_value_pair& member) {
    append_canonical(out, std::string_view(member.key()));
    append_value(out, member.value(), member_scope(scope, member.key()));
  };
  if (scope == Scope::kVerbatim) {
    for (const auto& member : object) append(member);
  } else {
    constexpr std::size_t kFew = 32;  // nearly every object; no allocation for them
    std::array<Member, kFew> few;
    std::vector<Member> many;
    Member* first = few.data();
    if (object.size() > kFew) {
      many.resize(object.size());
      first = many.data();
    }
    Member* last = first;
    for (const auto& member : object) {
      if (scope == Scope::kRequest && left_out(member.key())) continue;
      *last++ = &member;
    }
    std::sort(first, last, [](Member a, Member b) { return a->key() < b->key(); });
    std::for_each(first, last, [&](Member member) { append(*member); });
  }
  out.push_back('}');
}

void append_value(std::string& out, const json::value& value, Scope scope) {
  const bool container = value.is_object() || value.is_array();
  if (scope == Scope::kMember && container) scope = Scope::kVerbatim;
  switch (value.kind()) {
    case boost::json::kind::null:
      out.push_back('n');
      break;
    case boost::json::kind::bool_:
      out.push_back(value.get_bool() ? 't' : 'f');
      break;
    case boost::json::kind::int64:
      append_number(out, 'i', value.get_int64());
      break;
    case boost::json::kind::uint64:
      append_number(out, 'i', value.get_uint64());
      break;
    case boost::json::kind::double_:
      append_double(out, value.get_double(), scope != Scope::kVerbatim);
      break;
    case boost::json::kind::string:
      append_canonical(out, std::string_view(value.get_string()));
      break;
    case boost::json::kind::array:
      out.push_back('[');
      for (const auto& item : value.get_array()) append_value(out, item, item_scope(scope));
      out.push_back(']');
      break;
    case boost::json::kind::object:
      append_object(out, value.get_object(), scope);
      break;
  }
}

}  // namespace

void append_canonical(std::string& out, std::string_view text) {
  std::array<char, 24> length;
  const auto end = std::to_chars(length.data(), length.data() + length.size(), text.size()).ptr;
  out.push_back('s');
  out.append(length.data(), end);
  out.push_back(':');
  out.append(text);
}

void append_canonical(std::string& out, const json::object& request) {
  append_object(out, request, Scope::kRequest);
}

bool may_repeat(const json::object& request) {
  if (json::number_or(request, "n", 1) > 1 || json::number_or(request, "best_of", 1) > 1) return false;
  // llama.cpp's samplers that choose by lot before or instead of the temperature, and a chain that may leave it out.
  if (request.contains("samplers")) return false;
  for (const std::string_view name : {"dynatemp_range", "xtc_probability", "mirostat", "adaptive_target"}) {
    const auto* value = json::find(request, name);
    if (value && !value->is_null() && json::number_or(request, name, 1) != 0) return false;
  }
  if (json::number_or(request, "temperature", 1) == 0) return true;
  return json::number_or(request, "top_k", 0) == 1 && json::number_or(request, "min_keep", 0) <= 1;
}

}  // namespace llm::inference
