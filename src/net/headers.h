#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace llm::net {

// Header fields in arrival order, names compared without case (RFC 9110 section 5.1). All bytes lie in one string that
// is reused from request to request, so a warm connection allocates nothing for them.
class Headers {
 public:
  struct Field {
    std::string_view name;
    std::string_view value;
  };

  void clear() {
    bytes_.clear();
    entries_.clear();
  }
  void add(std::string_view name, std::string_view value);
  void set(std::string_view name, std::string_view value);  // replaces all of that name
  std::size_t size() const { return entries_.size(); }
  Field at(std::size_t index) const;
  // The first value of that name. Valid until the next change.
  std::optional<std::string_view> get(std::string_view name) const;
  std::size_t count(std::string_view name) const;
  // Is `token` among the comma-separated elements of all fields of that name (case-insensitive)?
  bool has_token(std::string_view name, std::string_view token) const;

 private:
  struct Entry {
    std::uint32_t offset;
    std::uint32_t name_size;
    std::uint32_t value_size;
  };
  bool has_name(const Entry& entry, std::string_view name) const;

  std::string bytes_;
  std::vector<Entry> entries_;
};

}  // namespace llm::net
