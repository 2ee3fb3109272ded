#include "mcp/tasks/task_record.h"

#include <gtest/gtest.h>
#include <string>

namespace llm::mcp {
namespace {

TaskRecord full_record() {
  TaskRecord record;
  record.id = "00112233445566778899aabbccddeeff";
  record.principal = "alice";
  record.owner = "ffeeddccbbaa99887766554433221100";
  record.tool = "llm_pull_model";
  record.status = TaskStatus::kInputRequired;
  record.status_message = "Which one?";
  record.created_ms = 1'785'231'000'123;
  record.updated_ms = 1'785'231'001'000;
  record.ttl_ms = 60'000;
  record.poll_ms = 500;
  record.arguments = {{"name", "qwen"}, {"deep", json::array{1, 2.5, nullptr}}};
  record.client = {"editor", "1.2"};
  record.capabilities = {{"elicitation", json::object()}};
  record.traceparent = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
  record.inputs = {{"first", json::object{{"action", "accept"}}}};
  record.state = std::string("\0\xff any bytes", 12);
  record.requests = {{"second", json::object{{"method", "elicitation/create"}, {"params", json::object()}}}};
  return record;
}

TEST(TaskRecord, IsTheSameWhenReadBack) {
  const TaskRecord record = full_record();
  const std::string text = write_record(record);
  const auto read = read_record(text);
  ASSERT_TRUE(read) << read.error().message;
  EXPECT_EQ(write_record(*read), text);
  EXPECT_EQ(read->state, record.state);
  EXPECT_EQ(read->requests, record.requests);
  EXPECT_EQ(read->client.version, "1.2");

  for (const auto status :
       {TaskStatus::kWorking, TaskStatus::kCompleted, TaskStatus::kFailed, TaskStatus::kCancelled}) {
    TaskRecord other = record;
    other.status = status;
    EXPECT_EQ(read_record(write_record(other))->status, status);
  }
}

TEST(TaskRecord, WhatIsCutOrWrongIsMalformed) {
  const std::string text = write_record(full_record());
  for (std::size_t length = 0; length < text.size(); ++length) {
    const auto read = read_record(std::string_view(text).substr(0, length));
    ASSERT_FALSE(read) << length;
    EXPECT_EQ(read.error().code, ErrorCode::kMalformed);
  }
  const auto whole = json::parse(text)->get_object();
  for (const auto& member : whole) {
    json::object without = whole;
    without.erase(member.key());
    EXPECT_FALSE(read_record(json::write(without))) << member.key();
    json::object other = whole;
    other[member.key()] = json::array();
    EXPECT_FALSE(read_record(json::write(other))) << member.key();
  }
  EXPECT_FALSE(read_record("[]"));
}

TEST(TaskRecord, ALaterFormatIsNotMalformed) {
  EXPECT_EQ(read_record(R"({"format":2,"anything":"else"})").error().code, ErrorCode::kUnsupported);
}

TEST(TaskRecord, DeepResultsAreRead) {
  std::string deep = "1";
  for (int i = 0; i < 480; ++i) deep = "[" + deep + "]";
  TaskRecord record = full_record();
  record.set_completed({{"structuredContent", json::parse(deep, {.max_depth = 500}).value()}});
  EXPECT_TRUE(read_record(write_record(record)));
}

TEST(TaskRecord, SaysItsStateAsTheExtensionDoes) {
  TaskRecord record = full_record();
  EXPECT_EQ(json::write(task_members(record)),
            R"({"taskId":"00112233445566778899aabbccddeeff","status":"input_required",)"
            R"("createdAt":"2026-07-28T09:30:00.123Z","lastUpdatedAt":"2026-07-28T09:30:01.000Z",)"
            R"("ttlMs":60000,"pollIntervalMs":500,"statusMessage":"Which one?"})");
  EXPECT_TRUE(detailed_task_members(record).contains("inputRequests"));
  EXPECT_FALSE(detailed_task_members(record).contains("requestState"));

  TaskRecord failed = record;
  failed.set_failed(error_object(-32603, "It broke.", json::object{{"partial", "so far"}}));
  const auto members = detailed_task_members(failed);
  EXPECT_EQ(json::write(members.at("error").get_object()),
            R"({"code":-32603,"message":"It broke.","data":{"partial":"so far"}})");
  EXPECT_EQ(members.at("statusMessage"), "It broke.");
  EXPECT_FALSE(members.contains("result"));
  EXPECT_FALSE(members.contains("inputRequests"));
  EXPECT_TRUE(failed.arguments.empty()) << "what it was called with is forgotten";

  TaskRecord done = record;
  done.set_completed({{"content", json::array()}});
  EXPECT_TRUE(detailed_task_members(done).contains("result"));
  EXPECT_FALSE(detailed_task_members(done).contains("error"));
}

TEST(TaskRecord, TakesTheAnswersItAskedFor) {
  TaskRecord record = full_record();
  record.requests["third"] = record.requests["second"];
  json::object unknown{{"other", json::object()}};
  EXPECT_FALSE(record.take_answers(unknown));
  json::object one{{"second", json::object{{"action", "decline"}}}, {"other", json::object()}};
  EXPECT_TRUE(record.take_answers(one));
  EXPECT_EQ(record.status, TaskStatus::kInputRequired);
  EXPECT_EQ(record.requests.size(), 1U);
  json::object again{{"second", json::object{{"action", "accept"}}}};
  EXPECT_FALSE(record.take_answers(again)) << "the first answer counts";
  json::object last{{"third", json::object()}};
  EXPECT_TRUE(record.take_answers(last));
  EXPECT_EQ(record.status, TaskStatus::kWorking);
  EXPECT_EQ(json::write(record.inputs), R"({"first":{"action":"accept"},"second":{"action":"decline"},"third":{}})");
}

TEST(TaskRecord, ExpiresOnlyWhenItHasEnded) {
  TaskRecord record = full_record();
  const auto over = record.created_ms + record.ttl_ms;
  EXPECT_FALSE(record.expired(over + 1'000'000));
  record.set_cancelled();
  EXPECT_FALSE(record.expired(over - 1));
  EXPECT_TRUE(record.expired(over));
}

}  // namespace
}  // namespace llm::mcp
