#include "mcp/tasks/task_journal.h"

#include <cerrno>
#include <csignal>
#include <cstdlib>
#include <fstream>
#include <gtest/gtest.h>
#include <memory>
#include <string>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>
#include <vector>

#include "base/random.h"

namespace llm::mcp {
namespace {

namespace fs = std::filesystem;

// Fails the n-th call (from 1), and with `all_after` every later one too.
class FailingDisk : public DiskCalls {
 public:
  int fail_at = 0;
  bool all_after = false;
  int calls = 0;

  ssize_t write(int fd, const void* data, std::size_t size) override {
    if (fails()) return -1;
    return DiskCalls::write(fd, data, size > 7 ? size / 2 : size);  // in pieces, as disks may
  }
  int fsync(int fd) override { return fails() ? -1 : DiskCalls::fsync(fd); }
  int rename(const char* from, const char* to) override { return fails() ? -1 : DiskCalls::rename(from, to); }

 private:
  bool fails() {
    ++calls;
    if (fail_at == 0 || calls < fail_at || (calls > fail_at && !all_after)) return false;
    errno = ENOSPC;
    return true;
  }
};

class TaskJournalTest : public testing::Test {
 protected:
  TaskJournalTest() {
    std::string name = (fs::temp_directory_path() / "task-journal-XXXXXX").string();
    root = mkdtemp(name.data());
    directory = root / "tasks";
  }
  ~TaskJournalTest() override { fs::remove_all(root); }

  std::unique_ptr<TaskJournal> open(DiskCalls& disk = real_disk_calls()) {
    return std::make_unique<TaskJournal>(
        directory, [this](const Error& error) { problems.push_back(to_string(error)); }, disk);
  }
  static TaskRecord record(const std::string& principal = "alice") {
    TaskRecord made;
    made.id = random_id();
    made.principal = principal;
    made.tool = "slow";
    made.created_ms = made.updated_ms = unix_ms();
    made.ttl_ms = 3'600'000;
    made.arguments = {{"n", 1}};
    return made;
  }
  // All files below the directory but those of the owners.
  std::vector<fs::path> files() const {
    std::vector<fs::path> found;
    for (const auto& entry : fs::recursive_directory_iterator(directory)) {
      if (entry.is_regular_file() && entry.path().parent_path() != directory / "owners") found.push_back(entry.path());
    }
    return found;
  }
  std::size_t owners() const {
    return static_cast<std::size_t>(
        std::distance(fs::directory_iterator(directory / "owners"), fs::directory_iterator()));
  }
  static void overwrite(const fs::path& path, std::string_view text) {
    std::ofstream(path, std::ios::trunc | std::ios::binary) << text;
  }
  static bool keep_all(TaskRecord&, const std::string&) { return true; }

  fs::path root;
  fs::path directory;
  std::vector<std::string> problems;
};

mode_t mode_of(const fs::path& path) {
  struct stat info{};
  EXPECT_EQ(::stat(path.c_str(), &info), 0);
  return info.st_mode & 07777;
}

TEST_F(TaskJournalTest, KeepsTasksForTheirPrincipalAlone) {
  const auto journal = open();
  TaskRecord task = record();
  ASSERT_TRUE(journal->create(task, 10));
  EXPECT_TRUE(journal->is_mine(task));
  const auto loaded = journal->load("alice", task.id);
  ASSERT_TRUE(loaded);
  EXPECT_EQ(write_record(*loaded), write_record(task));
  task.set_completed({{"content", json::array()}});
  ASSERT_TRUE(journal->save(task));
  EXPECT_EQ(journal->load("alice", task.id)->status, TaskStatus::kCompleted);

  for (const auto& [principal, id] :
       std::vector<std::pair<std::string, std::string>>{{"bob", task.id},
                                                        {"", task.id},
                                                        {"alice", random_id()},
                                                        {"alice", ""},
                                                        {"alice", "../" + task.id},
                                                        {"alice", task.id + ".json"},
                                                        {"alice", std::string(32, '.')}}) {
    const auto other = journal->load(principal, id);
    ASSERT_FALSE(other) << principal << ' ' << id;
    EXPECT_EQ(other.error(), journal->load("carol", "x").error());
  }
}

TEST_F(TaskJournalTest, IsReadableForItsUserOnly) {
  const auto journal = open();
  TaskRecord task = record();
  ASSERT_TRUE(journal->create(task, 10));
  ASSERT_TRUE(journal->save_partial(task, "so far"));
  EXPECT_EQ(mode_of(directory), 0700U);
  EXPECT_EQ(mode_of(directory / "owners"), 0700U);
  ASSERT_EQ(files().size(), 2U);
  for (const auto& file : files()) {
    EXPECT_EQ(mode_of(file), 0600U);
    EXPECT_EQ(mode_of(file.parent_path()), 0700U);
  }
}

TEST_F(TaskJournalTest, RefusesADirectoryThatOthersCanEnter) {
  fs::create_directory(directory);
  fs::permissions(directory, fs::perms(0755));
  TaskRecord task = record();
  const auto created = open()->create(task, 10);
  ASSERT_FALSE(created);
  EXPECT_EQ(created.error().code, ErrorCode::kPermissionDenied);
}

TEST_F(TaskJournalTest, AFailedWriteLeavesNothingHalf) {
  for (int n = 1; n < 100; ++n) {
    FailingDisk disk;
    const auto journal = open(disk);
    TaskRecord first = record();
    ASSERT_TRUE(journal->create(first, 1000));
    const auto before = files().size();

    disk.calls = 0;
    disk.fail_at = n;
    TaskRecord task = record();
    const auto created = journal->create(task, 1000);
    const bool last = disk.calls < n;  // it needs fewer calls
    EXPECT_EQ(created.has_value(), last);
    if (!created) {
      EXPECT_EQ(created.error().code, ErrorCode::kDiskFull);
      EXPECT_NE(created.error().message.find("No space left"), std::string::npos);
    }
    EXPECT_EQ(files().size(), created ? before + 1 : before);

    disk.calls = 0;
    first.set_cancelled();
    const auto saved = journal->save(first);
    disk.fail_at = 0;
    EXPECT_EQ(saved.has_value(), disk.calls < n);
    const auto loaded = journal->load("alice", first.id);
    ASSERT_TRUE(loaded) << "neither old nor new";
    if (last) {
      EXPECT_EQ(loaded->status, TaskStatus::kCancelled);
      return;
    }
  }
  FAIL() << "it never succeeded";
}

TEST_F(TaskJournalTest, SetsAsideWhatCannotBeRead) {
  const auto journal = open();
  TaskRecord good = record();
  TaskRecord bad = record();
  ASSERT_TRUE(journal->create(good, 10));
  ASSERT_TRUE(journal->create(bad, 10));
  const auto folder = files().front().parent_path();
  const auto path = folder / (bad.id + ".json");
  const std::string whole = write_record(bad);
  std::vector<std::string> texts{"", "{}", "\xff\xfe", std::string(1 << 20, '['), write_record(good)};
  for (std::size_t length = 1; length < whole.size(); length += 17) texts.push_back(whole.substr(0, length));
  for (const auto& text : texts) {
    overwrite(path, text);
    problems.clear();
    EXPECT_EQ(journal->load("alice", bad.id).error().code, ErrorCode::kNotFound);
    EXPECT_EQ(problems.size(), 1U);
    EXPECT_FALSE(fs::exists(path));
    EXPECT_TRUE(fs::exists(folder / (bad.id + ".json.corrupt")));
    EXPECT_TRUE(journal->load("alice", good.id));
  }
  overwrite(path, "{");
  journal->sweep(unix_ms());
  EXPECT_FALSE(fs::exists(path));
  overwrite(path, "{");
  EXPECT_TRUE(open()->adopt(keep_all).empty());
  EXPECT_FALSE(fs::exists(path));
}

TEST_F(TaskJournalTest, LeavesWhatALaterVersionWrote) {
  const auto journal = open();
  TaskRecord task = record();
  ASSERT_TRUE(journal->create(task, 10));
  const auto path = files().front();
  overwrite(path, R"({"format":99})");
  EXPECT_EQ(journal->load("alice", task.id).error().code, ErrorCode::kNotFound);
  EXPECT_TRUE(fs::exists(path));
}

TEST_F(TaskJournalTest, TasksOfTheLivingAreTheirOwn) {
  auto first = open();
  const auto second = open();
  TaskRecord task = record();
  TaskRecord ended = record();
  ASSERT_TRUE(first->create(task, 10));
  ASSERT_TRUE(first->create(ended, 10));
  ended.set_cancelled();
  ASSERT_TRUE(first->save(ended));
  ASSERT_TRUE(first->save_partial(task, "so far"));
  EXPECT_TRUE(second->load("alice", task.id)) << "others read it";
  EXPECT_FALSE(second->is_mine(*second->load("alice", task.id)));
  EXPECT_TRUE(second->adopt(keep_all).empty());
  EXPECT_TRUE(second->adopt(task.owner, keep_all).empty());

  first.reset();
  std::string partial;
  const auto adopted = second->adopt([&](TaskRecord& taken, const std::string& text) {
    partial = text;
    taken.set_failed(error_object(1, "cut"));
    return true;
  });
  ASSERT_EQ(adopted.size(), 1U);
  EXPECT_EQ(adopted[0].id, task.id);
  EXPECT_EQ(partial, "so far");
  EXPECT_TRUE(second->is_mine(*second->load("alice", task.id)));
  EXPECT_EQ(second->load("alice", task.id)->status, TaskStatus::kFailed);
  EXPECT_EQ(files().size(), 2U) << "a task that has ended needs no partial text";
  EXPECT_EQ(owners(), 1U);
  EXPECT_TRUE(second->adopt(keep_all).empty());
}

TEST_F(TaskJournalTest, WhatCannotBeAdoptedWaitsForTheNextTry) {
  TaskRecord task = record();
  ASSERT_TRUE(open()->create(task, 10));
  FailingDisk disk;
  disk.fail_at = 1;
  disk.all_after = true;
  const auto journal = open(disk);
  EXPECT_TRUE(journal->adopt(keep_all).empty());
  EXPECT_EQ(problems.size(), 1U);
  disk.fail_at = 0;
  EXPECT_EQ(journal->adopt(keep_all).size(), 1U);
  EXPECT_EQ(owners(), 1U);
}

TEST_F(TaskJournalTest, AdoptsFromAProcessThatWasKilled) {
  TaskRecord task = record();
  const pid_t child = fork();
  if (child == 0) {
    const auto journal = open();
    if (journal->create(task, 10) && journal->save_partial(task, "half")) raise(SIGKILL);
    _exit(1);
  }
  int status = 0;
  ASSERT_EQ(waitpid(child, &status, 0), child);
  ASSERT_TRUE(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
  // What a write that was cut leaves behind is cleared away too.
  const auto folder = files().front().parent_path();
  const auto owner = fs::directory_iterator(directory / "owners")->path().filename().string();
  overwrite(folder / (".tmp-" + owner + "-7"), "half a rec");

  const auto journal = open();
  std::string partial;
  const auto adopted = journal->adopt([&](TaskRecord&, const std::string& text) {
    partial = text;
    return true;
  });
  ASSERT_EQ(adopted.size(), 1U);
  EXPECT_EQ(adopted[0].id, task.id);
  EXPECT_EQ(partial, "half");
  EXPECT_EQ(files().size(), 2U);
}

TEST_F(TaskJournalTest, LimitsEachPrincipal) {
  const auto journal = open();
  std::vector<TaskRecord> tasks;
  for (int i = 0; i < 3; ++i) {
    tasks.push_back(record());
    ASSERT_TRUE(journal->create(tasks.back(), 3));
  }
  TaskRecord more = record();
  EXPECT_EQ(journal->create(more, 3).error().code, ErrorCode::kRateLimited);
  TaskRecord other = record("bob");
  EXPECT_TRUE(journal->create(other, 3));

  tasks[0].set_cancelled();
  ASSERT_TRUE(journal->save(tasks[0]));
  EXPECT_FALSE(journal->create(more, 3)) << "finished ones count until their time is over";
  tasks[0].created_ms -= tasks[0].ttl_ms;
  tasks[1].created_ms -= tasks[1].ttl_ms;  // unfinished: stays
  ASSERT_TRUE(journal->save(tasks[0]));
  ASSERT_TRUE(journal->save(tasks[1]));
  EXPECT_EQ(journal->load("alice", tasks[0].id).error().code, ErrorCode::kNotFound);
  EXPECT_TRUE(journal->create(more, 3));
  EXPECT_TRUE(journal->load("alice", tasks[1].id));
}

}  // namespace
}  // namespace llm::mcp
