#include "store/audit_table.h"

#include <gtest/gtest.h>

#include "store/nasty_texts.h"
#include "store/store_fixture.h"

namespace llm::store {
namespace {

class AuditTable : public StoreTest {
 protected:
  std::vector<std::string> records(const AuditQuery& query) {
    std::vector<std::string> result;
    for (const auto& entry : read([&](Session& s) { return audit(s, query); })) result.push_back(entry.row.record);
    return result;
  }
};
STORE_ON_BOTH(AuditTable);

AuditRow record(std::string chain, std::int64_t seq, std::int64_t time, std::string action) {
  AuditRow row;
  row.chain = std::move(chain);
  row.seq = seq;
  row.time = time;
  row.principal = "key:k" + std::to_string(seq % 2);
  row.project = "p" + std::to_string(seq % 3);
  row.action = std::move(action);
  row.target = "model";
  row.address = "127.0.0.1";
  row.outcome = "ok";
  row.record = row.chain + std::to_string(seq);
  row.hash = std::string(64, 'a');
  return row;
}

TEST_P(AuditTable, KeepsEveryColumnAndIsReadFromTheNewest) {
  write([](Session& s) {
    return append_audit(
        s, {record("a", 1, 10, "generate"), record("a", 2, 20, "key.create"), record("b", 1, 30, "key.revoke")});
  });
  const auto entries = read([](Session& s) { return audit(s, {}); });
  ASSERT_EQ(entries.size(), 3U);
  EXPECT_GT(entries[0].id, entries[1].id);
  const AuditRow& row = entries[1].row;
  EXPECT_EQ(row.chain, "a");
  EXPECT_EQ(row.seq, 2);
  EXPECT_EQ(row.time, 20);
  EXPECT_EQ(row.principal, "key:k0");
  EXPECT_EQ(row.project, "p2");
  EXPECT_EQ(row.action, "key.create");
  EXPECT_EQ(row.target, "model");
  EXPECT_EQ(row.address, "127.0.0.1");
  EXPECT_EQ(row.outcome, "ok");
  EXPECT_EQ(row.record, "a2");
  EXPECT_EQ(row.hash, std::string(64, 'a'));

  using Records = std::vector<std::string>;
  EXPECT_EQ(records({.from = 20}), (Records{"b1", "a2"}));
  EXPECT_EQ(records({.to = 20}), (Records{"a2", "a1"}));
  EXPECT_EQ(records({.principal = "key:k1"}), (Records{"b1", "a1"}));
  EXPECT_EQ(records({.project = "p2"}), (Records{"a2"}));
  EXPECT_EQ(records({.action = "key."}), (Records{"b1", "a2"}));
  EXPECT_EQ(records({.action = "key.revoke"}), (Records{"b1"}));
  EXPECT_EQ(records({.action = "%"}), (Records{}));
  EXPECT_EQ(records({.limit = 1}), (Records{"b1"}));
  EXPECT_EQ(records({.limit = 0}), (Records{}));
  EXPECT_EQ(records({.limit = 2, .before_id = entries[0].id}), (Records{"a2", "a1"}));
  EXPECT_EQ(records({.from = 5, .to = 25, .principal = "key:k0", .project = "p2", .action = "key", .before_id = 1'000}),
            (Records{"a2"}));
}

TEST_P(AuditTable, ARecordIsNeverReplaced) {
  write([](Session& s) { return append_audit(s, {record("a", 1, 10, "generate")}); });
  AuditRow forged = record("a", 1, 99, "nothing");
  write([&](Session& s) { return append_audit(s, {forged, record("a", 2, 20, "generate")}); });
  EXPECT_EQ(records({}), (std::vector<std::string>{"a2", "a1"}));
  EXPECT_EQ(read([](Session& s) { return audit_chain(s, "a", 0, 10); })[0].time, 10);
}

TEST_P(AuditTable, AChainIsReadInItsOrder) {
  write([](Session& s) {
    return append_audit(
        s, {record("a", 2, 1, "x"), record("a", 1, 1, "x"), record("b", 7, 1, "x"), record("a", 3, 1, "x")});
  });
  EXPECT_EQ(read([](Session& s) { return audit_chains(s); }), (std::vector<std::string>{"a", "b"}));
  const auto part = read([](Session& s) { return audit_chain(s, "a", 1, 1); });
  ASSERT_EQ(part.size(), 1U);
  EXPECT_EQ(part[0].seq, 2);
  const auto all = read([](Session& s) { return audit_chain(s, "a", 0, 100); });
  ASSERT_EQ(all.size(), 3U);
  EXPECT_EQ(all[2].seq, 3);
}

TEST_P(AuditTable, IsRemovedFromTheFrontOnly) {
  write([](Session& s) {
    // The clock was set back between 2 and 3.
    return append_audit(s, {record("a", 1, 10, "x"), record("a", 2, 30, "x"), record("a", 3, 15, "x"),
                            record("a", 4, 40, "x"), record("b", 1, 5, "x")});
  });
  write([](Session& s) { return remove_audit(s, 20); });
  EXPECT_EQ(records({}), (std::vector<std::string>{"a4", "a3", "a2"}));
  write([](Session& s) { return remove_audit(s, 35); });
  EXPECT_EQ(records({}), (std::vector<std::string>{"a4"}));
  write([](Session& s) { return remove_audit(s, 1'000); });
  EXPECT_TRUE(records({}).empty());
}

TEST_P(AuditTable, TextsAreDataWhateverTheyHold) {
  std::int64_t seq = 0;
  for (const std::string& nasty : kNastyTexts) {
    if (nasty.size() > 500) continue;
    AuditRow row = record(nasty, ++seq, 1, nasty);
    row.principal = row.project = row.target = row.address = row.outcome = row.record = row.hash = nasty;
    write([&](Session& s) { return append_audit(s, {row}); });
    const auto found =
        read([&](Session& s) { return audit(s, {.principal = nasty, .project = nasty, .action = nasty, .limit = 1}); });
    ASSERT_EQ(found.size(), 1U) << nasty;
    EXPECT_EQ(found[0].row.record, nasty);
    EXPECT_EQ(found[0].row.hash, nasty);
    EXPECT_EQ(read([&](Session& s) { return audit_chain(s, nasty, 0, 1); })[0].target, nasty);
  }
  for (const std::string& bad : kUnstorableTexts) {
    AuditRow row = record("c", 1, 1, "x");
    row.target = bad;
    EXPECT_EQ(database_->write([&](Session& s) { return append_audit(s, {row}); }).error().code,
              ErrorCode::kInvalidArgument);
    EXPECT_EQ(database_->read([&](Session& s) { return audit(s, {.project = bad}); }).error().code,
              ErrorCode::kInvalidArgument);
  }
}

}  // namespace
}  // namespace llm::store
