#include <fmt/format.h>

#include "containers/docker_client.h"
#include "net/base64.h"

namespace llm::containers {

Result<net::Endpoint> parse_docker_host(std::string_view text) {
  std::string url(text);
  if (text.starts_with("unix://")) url = fmt::format("unix:{}", text.substr(7));
  if (text.starts_with("tcp://")) url = fmt::format("http://{}", text.substr(6));
  auto endpoint = net::parse_endpoint(url);
  if (!endpoint) {
    return fail(ErrorCode::kInvalidArgument,
                fmt::format("\"{}\" is no address of a container engine; expected unix:/var/run/docker.sock or "
                            "tcp://127.0.0.1:2375",
                            text));
  }
  if (endpoint->unix_path.empty() && !net::is_loopback(endpoint->host)) {
    return fail(
        ErrorCode::kInvalidArgument,
        fmt::format("the container engine at {} is on another machine: the ports of its containers could not be "
                    "reached. Run the gateway there, or the engine with runtime: remote",
                    endpoint->text()));
  }
  return endpoint;
}

Result<std::string> registry_auth(std::string_view user_and_password) {
  const auto colon = user_and_password.find(':');
  if (colon == std::string_view::npos || colon == 0) {
    return fail(ErrorCode::kInvalidArgument, "container.registry_auth is to be user:password");
  }
  std::string document = json::write(json::object{{"username", user_and_password.substr(0, colon)},
                                                  {"password", user_and_password.substr(colon + 1)}});
  // Docker wants the padding of base64url, others do not: with a length of threes there is none.
  while (document.size() % 3 != 0) document.insert(document.size() - 1, " ");
  return base64url_encode(document);
}

ImageName split_image(std::string_view image) {
  const auto at = image.find('@');
  std::string_view name = image.substr(0, at);
  std::string_view tag = "latest";
  // A colon before the last slash belongs to the registry's port.
  const auto slash = name.rfind('/');
  const auto colon = name.find(':', slash == std::string_view::npos ? 0 : slash);
  if (colon != std::string_view::npos) {
    tag = name.substr(colon + 1);
    name = name.substr(0, colon);
  }
  if (at != std::string_view::npos) tag = image.substr(at + 1);
  return {std::string(name), std::string(tag)};
}

}  // namespace llm::containers
