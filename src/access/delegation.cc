#include "access/delegation.h"

#include <algorithm>

#include "access/directory_builder.h"
#include "access/rights.h"

namespace llm::access {
namespace {

std::unexpected<Error> beyond(std::string message, std::string pointer) {
  return fail(ErrorCode::kPermissionDenied, std::move(message), std::move(pointer));
}

PermissionSet scopes_of(const KeySettings& settings) {
  if (!settings.scopes) return PermissionSet::all();
  PermissionSet set;
  for (const std::string& name : *settings.scopes) {
    if (const auto permission = permission_by_name(name)) set.add(*permission);
  }
  return set;
}

Rights rights_of(const Grant& grant) {
  return {*grant.rules, scopes_of(grant.settings), grant.settings.models ? &*grant.settings.models : nullptr};
}

// Zero is no cap.
bool cap_within(std::uint64_t inner, std::uint64_t outer) {
  return outer == 0 || (inner != 0 && inner <= outer);
}

bool caps_within(const Caps& inner, const Caps& outer) {
  return cap_within(inner.max_choices, outer.max_choices) && cap_within(inner.max_best_of, outer.max_best_of) &&
         cap_within(inner.max_prompts, outer.max_prompts) && cap_within(inner.max_stops, outer.max_stops) &&
         cap_within(inner.max_logprobs, outer.max_logprobs) && cap_within(inner.max_tokens, outer.max_tokens) &&
         cap_within(inner.max_messages, outer.max_messages) && cap_within(inner.max_images, outer.max_images) &&
         cap_within(inner.max_tools, outer.max_tools) && cap_within(inner.max_schema_depth, outer.max_schema_depth) &&
         cap_within(inner.max_schema_bytes.bytes, outer.max_schema_bytes.bytes) &&
         (inner.local_only || !outer.local_only);
}

bool amount_within(const Rate& inner, const Rate& outer) {
  const auto per_ms = [](const Rate& rate) {
    return static_cast<double>(rate.count) / static_cast<double>(std::max<std::int64_t>(rate.window.ms, 1));
  };
  return per_ms(inner) <= per_ms(outer) && inner.burst.value_or(inner.count) <= outer.burst.value_or(outer.count);
}
template <std::integral T>
bool amount_within(T inner, T outer) {
  return inner <= outer;
}

// One limit: absent becomes the giver's; a limit where the giver has none of its own would replace the configured one.
template <class T>
bool bind_limit(std::optional<T>& given, const std::optional<T>& own) {
  if (!given) {
    given = own;
    return true;
  }
  return own && amount_within(*given, *own);
}

std::vector<IpNetwork> networks(const std::vector<std::string>& texts) {
  std::vector<IpNetwork> out;
  for (const std::string& text : texts) {
    if (const auto network = parse_network(text)) out.push_back(*network);
  }
  return out;
}

}  // namespace

Result<Delegation> Delegation::of(store::Session& session, const Principal& actor) {
  Delegation delegation;
  delegation.project_ = actor.project();
  delegation.everywhere_ = actor.may(Permission::kAdmin);
  if (actor.local() || does_everything(*actor.identity)) return delegation;
  delegation.identity_ = actor.identity.get();
  if (actor.identity->key_id.empty()) return delegation;
  auto row = store::find_key(session, actor.identity->key_id);
  if (!row) return fail(std::move(row.error()));
  auto own = *row ? read_key_settings((*row)->settings) : Result<KeySettings>(std::unexpect, Error{});
  if (!own || (*row)->revoked != 0) {
    return fail(ErrorCode::kUnauthenticated, "the key that asks for this is no longer valid");
  }
  delegation.own_ = std::move(*own);
  delegation.own_expires_ = (*row)->expires;
  return delegation;
}

Result<void> Delegation::bind_rights(Grant& grant) const {
  if (!bound()) return {};
  if (!grant.settings.models && identity_->models) grant.settings.models = *identity_->models;
  if (!rights_within(rights_of(grant), access::rights_of(*identity_))) {
    return beyond(
        "this would give more than you may do yourself; choose another role, or narrow it by scopes and models",
        "/role");
  }
  Caps outer = identity_->caps ? *identity_->caps : Caps{};
  outer.local_only = outer.local_only || identity_->local_only;
  if ((grant.caps != identity_->caps || identity_->local_only) &&
      !caps_within(grant.caps ? *grant.caps : Caps{}, outer)) {
    return beyond("the role has higher caps than your own; choose another role", "/role");
  }
  return {};
}

Result<void> Delegation::check_reach(const Grant& grant) const {
  if (!bound() || rights_within(rights_of(grant), access::rights_of(*identity_))) return {};
  return fail(ErrorCode::kPermissionDenied, "this key may do more than you may yourself; an admin can change it");
}

Result<void> Delegation::bind_addresses(Grant& grant) const {
  if (!bound() || !own_.addresses) return {};
  auto& given = grant.settings.addresses;
  if (!given) {
    given = own_.addresses;
    return {};
  }
  const auto own = networks(*own_.addresses);
  for (std::size_t i = 0; i < given->size(); ++i) {
    const auto one = parse_network((*given)[i]);
    const bool within =
        one && std::ranges::any_of(own, [&](const IpNetwork& network) { return network.contains(*one); });
    if (!within) return beyond("your own key may not be used from there", "/addresses/" + std::to_string(i));
  }
  return {};
}

Result<void> Delegation::bind_limits(Grant& grant) const {
  if (!bound()) return {};
  const LimitPolicy own = own_.limits.value_or(LimitPolicy{});
  LimitPolicy given = grant.settings.limits.value_or(LimitPolicy{});
  const char* wrong = nullptr;
  const auto bind = [&](const char* name, auto& one, const auto& mine) {
    if (!bind_limit(one, mine) && wrong == nullptr) wrong = name;
  };
  bind("requests", given.requests, own.requests);
  bind("input_tokens", given.input_tokens, own.input_tokens);
  bind("output_tokens", given.output_tokens, own.output_tokens);
  bind("concurrent", given.concurrent, own.concurrent);
  bind("requests_per_day", given.requests_per_day, own.requests_per_day);
  bind("requests_per_month", given.requests_per_month, own.requests_per_month);
  bind("tokens_per_day", given.tokens_per_day, own.tokens_per_day);
  bind("tokens_per_month", given.tokens_per_month, own.tokens_per_month);
  if (wrong != nullptr) {
    return beyond("this limit must be one that your own key has too, and no higher; an admin can set others",
                  std::string("/limits/") + wrong);
  }
  if (!given.empty()) grant.settings.limits = given;
  return {};
}

Result<void> Delegation::bind_expiry(Grant& grant) const {
  if (!bound() || own_expires_ == 0) return {};
  if (grant.expires == 0) grant.expires = own_expires_;
  if (grant.expires <= own_expires_) return {};
  return beyond("this would outlive your own key", "/expires");
}

Result<void> Delegation::bind_order(Grant& grant) const {
  if (!bound()) return {};
  if (identity_->priority == Priority::kBatch) {
    if (!grant.settings.priority) grant.settings.priority = Priority::kBatch;
    if (*grant.settings.priority != Priority::kBatch) {
      return beyond("your own key has a lower priority", "/priority");
    }
  }
  if (!grant.settings.weight && identity_->weight < 1) grant.settings.weight = identity_->weight;
  if (grant.settings.weight.value_or(1) <= identity_->weight) return {};
  return beyond("your own key has a smaller weight", "/weight");
}

}  // namespace llm::access
