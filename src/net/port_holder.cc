#include "net/port_holder.h"

#include <filesystem>
#include <fmt/format.h>
#include <fstream>
#include <set>
#include <sstream>

#include "base/strings.h"

namespace llm::net {
namespace {

namespace fs = std::filesystem;

// Socket inodes that listen on `port`, from the kernel's tables (proc(5): state 0A is LISTEN).
std::set<std::string> listening_inodes(std::uint16_t port) {
  std::set<std::string> inodes;
  for (const char* table : {"/proc/net/tcp", "/proc/net/tcp6"}) {
    std::ifstream in(table);
    std::string line;
    std::getline(in, line);
    while (std::getline(in, line)) {
      std::istringstream fields(line);
      std::string slot, local, remote, state, queues, timer, retransmits, uid, timeout, inode;
      fields >> slot >> local >> remote >> state >> queues >> timer >> retransmits >> uid >> timeout >> inode;
      if (state == "0A" && local.ends_with(fmt::format(":{:04X}", port))) inodes.insert(inode);
    }
  }
  return inodes;
}

// Does the process with this folder of descriptors hold one of the sockets? Processes may end while we look.
bool holds(const fs::path& descriptors, const std::set<std::string>& inodes) {
  std::error_code error;
  for (fs::directory_iterator fd(descriptors, error), end; !error && fd != end; fd.increment(error)) {
    std::error_code gone;
    const std::string link = fs::read_symlink(fd->path(), gone).string();
    if (link.starts_with("socket:[") && inodes.contains(link.substr(8, link.size() - 9))) return true;
  }
  return false;
}

}  // namespace

std::string port_holder(std::uint16_t port) {
  const auto inodes = listening_inodes(port);
  if (inodes.empty()) return {};
  std::error_code error;
  for (fs::directory_iterator process("/proc", error), end; !error && process != end; process.increment(error)) {
    const std::string pid = process->path().filename();
    if (!parse_number<int>(pid) || !holds(process->path() / "fd", inodes)) continue;
    std::ifstream in(process->path() / "comm");
    std::string name;
    std::getline(in, name);
    return fmt::format(" by {} (process {})", name, pid);
  }
  return {};
}

}  // namespace llm::net
