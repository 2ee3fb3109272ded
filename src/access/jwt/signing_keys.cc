#include "access/jwt/signing_keys.h"

#include <algorithm>
#include <fmt/format.h>
#include <openssl/crypto.h>
#include <utility>

namespace llm::access {
namespace {

// What a sealed private key is bound to: moved to another row it does not open.
std::string sealing_context(std::string_view id, std::string_view algorithm) {
  return fmt::format("signing-key {} {}", id, algorithm);
}

}  // namespace

KeyRing::KeyRing(std::vector<Entry> entries) : entries_(std::move(entries)) {
  // By id where two end together: every gateway signs with the same.
  std::ranges::sort(entries_, [](const Entry& a, const Entry& b) {
    return std::pair(a.signs_until, std::string_view(a.key.id())) <
           std::pair(b.signs_until, std::string_view(b.key.id()));
  });
  std::vector<Jwk> keys;
  for (const auto& entry : entries_) keys.push_back(entry.key);
  jwks_ = std::make_shared<const std::string>(write_jwk_set(keys));
}

const KeyRing::Entry* KeyRing::signer(std::int64_t now_ms) const {
  const auto found = std::ranges::find_if(
      entries_, [&](const Entry& one) { return one.key.is_private() && one.signs_until > now_ms; });
  return found == entries_.end() ? nullptr : &*found;
}

const KeyRing::Entry* KeyRing::find(std::string_view id, std::int64_t now_ms) const {
  const auto found = std::ranges::find_if(
      entries_, [&](const Entry& one) { return one.key.id() == id && one.verifies_until > now_ms; });
  return found == entries_.end() ? nullptr : &*found;
}

std::shared_ptr<const KeyRing> SigningKeys::ring() const {
  const std::scoped_lock lock(mutex_);
  return ring_;
}

Result<store::SigningKeyRow> SigningKeys::make(std::int64_t signs_from) const {
  const auto key = Jwk::generate(settings_.algorithm);
  if (!key) return fail(key.error());
  store::SigningKeyRow row;
  row.id = key->id();
  row.algorithm = to_string(settings_.algorithm);
  row.public_jwk = json::write(key->public_json());
  std::string bytes = key->private_bytes();
  row.private_key = seal(sealing_key_, bytes, sealing_context(row.id, row.algorithm));
  OPENSSL_cleanse(bytes.data(), bytes.size());
  row.signs_until = signs_from + settings_.lifetime_ms;
  row.verifies_until = row.signs_until + settings_.overlap_ms;
  return row;
}

Result<std::shared_ptr<const KeyRing>> SigningKeys::open(const std::vector<store::SigningKeyRow>& rows,
                                                         std::int64_t now_ms) const {
  std::vector<KeyRing::Entry> entries;
  for (const auto& row : rows) {
    const auto algorithm = jws_algorithm(row.algorithm);
    if (row.verifies_until <= now_ms || !algorithm) continue;
    if (row.signs_until > now_ms) {
      auto bytes = open_sealed(sealing_key_, row.private_key, sealing_context(row.id, row.algorithm));
      if (!bytes) {
        return fail(ErrorCode::kInvalidArgument,
                    "the signing keys in the database were encrypted with another master secret; give this gateway the "
                    "secret that the others on this database have");
      }
      auto key = Jwk::from_private_bytes(*algorithm, *bytes);
      OPENSSL_cleanse(bytes->data(), bytes->size());
      if (!key) return fail(std::move(key.error()));
      entries.push_back({std::move(*key), row.signs_until, row.verifies_until});
      continue;
    }
    const auto document = json::parse(row.public_jwk);
    auto key = document && document->is_object() ? Jwk::parse(document->get_object())
                                                 : Result<Jwk>(fail(ErrorCode::kInternal, "not a JWK"));
    if (key) entries.push_back({std::move(*key), row.signs_until, row.verifies_until});
  }
  return std::make_shared<const KeyRing>(std::move(entries));
}

Result<void> SigningKeys::refresh(store::Database& database, std::int64_t now_ms) {
  const auto read = [](store::Session& session) { return store::signing_keys(session); };
  auto rows = database.read(read);
  if (!rows) return fail(std::move(rows.error()));

  std::int64_t newest = 0;
  for (const auto& row : *rows) newest = std::max(newest, row.signs_until);
  if (newest - now_ms <= settings_.publish_ahead_ms) {
    auto row = make(std::max(newest, now_ms));
    if (!row) return fail(std::move(row.error()));
    row->created = now_ms;
    const auto inserted =
        database.write([&](store::Session& session) { return store::insert_signing_key(session, *row, newest); });
    if (!inserted && inserted.error().code != ErrorCode::kAlreadyExists) return inserted;
    rows = database.read(read);  // our key, or that of a gateway that was first
    if (!rows) return fail(std::move(rows.error()));
  }

  // Opening keys is not for four times a second: only when something is new, or over.
  const auto known = ring();
  std::size_t live = 0;
  const bool same = std::ranges::all_of(*rows, [&](const store::SigningKeyRow& row) {
    if (row.verifies_until <= now_ms) return true;
    ++live;
    return known->find(row.id, now_ms) != nullptr;
  });
  if (same && live == known->entries().size()) return {};
  auto opened = open(*rows, now_ms);
  if (!opened) return fail(std::move(opened.error()));
  const std::scoped_lock lock(mutex_);
  ring_ = std::move(*opened);
  return {};
}

}  // namespace llm::access
