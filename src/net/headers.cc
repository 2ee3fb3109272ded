#include "net/headers.h"

#include "base/strings.h"

namespace llm::net {

void Headers::add(std::string_view name, std::string_view value) {
  entries_.push_back({static_cast<std::uint32_t>(bytes_.size()), static_cast<std::uint32_t>(name.size()),
                      static_cast<std::uint32_t>(value.size())});
  bytes_.append(name).append(value);
}

void Headers::set(std::string_view name, std::string_view value) {
  // The arguments may point into bytes_, which add() grows.
  const std::string name_copy(name);
  const std::string value_copy(value);
  for (std::size_t i = entries_.size(); i-- > 0;) {
    if (iequals(at(i).name, name_copy)) entries_.erase(entries_.begin() + static_cast<std::ptrdiff_t>(i));
  }
  add(name_copy, value_copy);
}

bool Headers::has_name(const Entry& entry, std::string_view name) const {
  return entry.name_size == name.size() && iequals(std::string_view(bytes_).substr(entry.offset, name.size()), name);
}

Headers::Field Headers::at(std::size_t index) const {
  const Entry& entry = entries_[index];
  const std::string_view all(bytes_);
  return {all.substr(entry.offset, entry.name_size), all.substr(entry.offset + entry.name_size, entry.value_size)};
}

std::optional<std::string_view> Headers::get(std::string_view name) const {
  for (std::size_t i = 0; i < entries_.size(); ++i) {
    if (has_name(entries_[i], name)) return at(i).value;
  }
  return std::nullopt;
}

std::size_t Headers::count(std::string_view name) const {
  std::size_t found = 0;
  for (std::size_t i = 0; i < entries_.size(); ++i) found += has_name(entries_[i], name) ? 1 : 0;
  return found;
}

bool Headers::has_token(std::string_view name, std::string_view token) const {
  for (std::size_t i = 0; i < entries_.size(); ++i) {
    if (!has_name(entries_[i], name)) continue;
    for (const auto element : split(at(i).value, ',')) {
      if (iequals(trim(element), token)) return true;
    }
  }
  return false;
}

}  // namespace llm::net
