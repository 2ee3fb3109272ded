#pragma once

#include <cstdlib>
#include <filesystem>
#include <memory>
#include <stdexcept>
#include <string>

#include "store/database.h"

// For tests of any layer: a folder for SQLite files that ends with the object.
namespace llm::store {

class TemporarySqlite {
 public:
  TemporarySqlite() {
    std::string name = (std::filesystem::temp_directory_path() / "llm-store-XXXXXX").string();
    if (::mkdtemp(name.data()) == nullptr) throw std::runtime_error("cannot make a temporary folder");
    folder_ = name;
  }
  TemporarySqlite(const TemporarySqlite&) = delete;
  TemporarySqlite& operator=(const TemporarySqlite&) = delete;
  ~TemporarySqlite() {
    std::error_code ignored;
    std::filesystem::remove_all(folder_, ignored);
  }

  const std::filesystem::path& folder() const { return folder_; }
  std::filesystem::path file() const { return folder_ / "llm-mcp.db"; }
  DatabaseSettings settings() const {
    DatabaseSettings settings;
    settings.url = "sqlite:" + file().string();
    return settings;
  }
  // A migrated database; throws if it cannot be opened.
  std::unique_ptr<Database> open() const {
    auto database = Database::open(settings());
    if (!database) throw std::runtime_error(database.error().message);
    return std::move(*database);
  }

 private:
  std::filesystem::path folder_;
};

}  // namespace llm::store
