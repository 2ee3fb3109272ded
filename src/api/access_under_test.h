#pragma once

#include <filesystem>
#include <fmt/format.h>
#include <memory>
#include <string>
#include <utility>

#include "access/access_system.h"
#include "api/api_under_test.h"

namespace llm::api {

// For tests: the API with the real access control behind it, over a new database. Who connects over TCP is nobody until
// it shows something; the Unix socket is the local user's.
class ProtectedApi {
 public:
  explicit ProtectedApi(access::AccessSettings settings = {}, std::vector<std::string> allowed_origins = {},
                        RouteTable routes = make_routes())
      : folder_(make_folder()),
        system_(open(std::move(settings), folder_, log_.log())),
        api(std::move(routes), {}, std::move(allowed_origins)) {
    api.services.access = &system_->control();
    api.peer = {.address = "127.0.0.1:52100"};
  }
  ~ProtectedApi() {
    system_->stop();
    std::error_code ignored;
    std::filesystem::remove_all(folder_, ignored);
  }

  access::AccessSystem& system() { return *system_; }
  // A key and its id, made as the local user. `more`: further members of the request.
  std::pair<std::string, std::string> make_key(std::string_view role, std::string_view more = "") {
    auto made = system_->admin().create_key(
        json::parse(fmt::format(R"({{"name":"test {}","role":"{}"{}}})", role, role, more)).value().as_object(), {});
    EXPECT_TRUE(made) << to_string(made.error());
    if (!made) return {};
    return {std::string(json::string_or(*made, "key")), std::string(json::string_or(*made, "id"))};
  }
  // The head of a request with a key.
  static std::string head(std::string_view method, std::string_view target, const std::string& key) {
    return fmt::format("{} {} HTTP/1.1\r\nHost: localhost{}", method, target,
                       key.empty() ? "" : "\r\nAuthorization: Bearer " + key);
  }
  Task<std::string> ask(std::string method, std::string target, std::string key, std::string body = {}) {
    std::string text = head(method, target, key);
    if (!body.empty()) text += "\r\nContent-Type: application/json";
    co_return co_await api.ask(std::move(text), std::move(body));
  }
  // Everything in the audit trail, newest first, as text.
  std::string audit_trail() {
    EXPECT_TRUE(system_->control().audit.flush());
    auto trail = system_->admin().audit({}, {});
    EXPECT_TRUE(trail) << to_string(trail.error());
    return trail ? json::write(*trail) : std::string();
  }

 private:
  static std::filesystem::path make_folder() {
    std::string pattern = (std::filesystem::temp_directory_path() / "llm-access-XXXXXX").string();
    return ::mkdtemp(pattern.data());
  }
  static std::unique_ptr<access::AccessSystem> open(access::AccessSettings settings,
                                                    const std::filesystem::path& folder, observe::Log& log) {
    if (settings.local_user == access::LocalUser::kAuto) settings.local_user = access::LocalUser::kOff;
    auto opened = access::AccessSystem::open(
        settings, {.data_dir = folder}, false, [](std::string_view) { return std::nullopt; }, log);
    EXPECT_TRUE(opened) << to_string(opened.error());
    return std::move(opened.value());
  }

  std::filesystem::path folder_;
  observe::LogCapture log_;
  std::unique_ptr<access::AccessSystem> system_;

 public:
  ApiUnderTest api;
};

}  // namespace llm::api
