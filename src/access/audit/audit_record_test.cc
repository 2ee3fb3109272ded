#include "access/audit/audit_record.h"

#include <gtest/gtest.h>
#include <openssl/sha.h>

#include "access/audit/audit_redact.h"
#include "base/strings.h"

namespace llm::access {
namespace {

AuditEvent full_event() {
  AuditEvent event;
  event.request_id = "r-1";
  event.principal = "key:k7";
  event.project = "research";
  event.user = "ada";
  event.address = "2001:db8::1";
  event.action = "key.update";
  event.target = "k9";
  event.outcome = "ok";
  event.input_tokens = 12;
  event.output_tokens = 3;
  event.before = json::object{{"name", "a"}};
  event.after = json::object{{"name", "b"}};
  return event;
}

TEST(AuditRecord, ALineIsWhatTheHeaderSays) {
  const auto line = make_line(2, "c0", std::string(64, 'a'), 1'700'000'000'000, full_event());
  EXPECT_EQ(line.text,
            R"({"seq":2,"time":"2023-11-14T22:13:20.000Z","chain":"c0","request_id":"r-1","principal":"key:k7",)"
            R"("project":"research","user":"ada","address":"2001:db8::1","action":"key.update","target":"k9",)"
            R"("outcome":"ok","input_tokens":12,"output_tokens":3,"before":{"name":"a"},"after":{"name":"b"},)"
            R"("prev":")" +
                std::string(64, 'a') + R"(","hash":")" + line.hash + R"("})");
}

// As another program would do it, with nothing of ours.
TEST(AuditRecord, TheHashIsOverThePreviousOneAndTheLineWithoutIt) {
  const auto line = make_line(1, "c0", genesis_hash(), 0, full_event());
  const std::string bytes = std::string(64, '0') + line.text.substr(0, line.text.rfind(",\"hash\":\"")) + "}";
  std::array<unsigned char, 32> digest{};
  SHA256(reinterpret_cast<const unsigned char*>(bytes.data()), bytes.size(), digest.data());
  EXPECT_EQ(line.hash, hex(digest));
}

TEST(AuditRecord, IsReadBack) {
  const auto line = make_line(41, "c0", std::string(64, 'b'), 1'700'000'000'123, full_event());
  const auto parts = split_line(line.text);
  ASSERT_TRUE(parts);
  EXPECT_EQ(parts->seq, 41);
  EXPECT_EQ(parts->prev, std::string(64, 'b'));
  EXPECT_EQ(parts->hash, line.hash);
  EXPECT_TRUE(hash_fits(*parts));
  const auto row = row_of(line.text);
  ASSERT_TRUE(row);
  EXPECT_EQ(row->time, 1'700'000'000'123);
  EXPECT_EQ(row->chain, "c0");
  EXPECT_EQ(row->principal, "key:k7");
  EXPECT_EQ(row->action, "key.update");
  EXPECT_EQ(row->record, line.text);
}

TEST(AuditRecord, WhatIsNoLineIsRefused) {
  const auto good = make_line(5, "c0", genesis_hash(), 0, full_event()).text;
  for (const std::string& bad : {std::string(), std::string("{}"), good.substr(1), good.substr(0, good.size() - 1),
                                 good + " ", "{\"seq\":0" + good.substr(8), "{\"seq\":-5" + good.substr(8),
                                 "{\"seq\":x" + good.substr(8), std::string(300, '\0'), std::string(300, '"')}) {
    EXPECT_FALSE(split_line(bad)) << bad;
  }
}

// Texts that try to end a member early, or to look like one, change nothing but their own member.
TEST(AuditRecord, NastyTextsStayTexts) {
  AuditEvent event = full_event();
  for (const std::string& nasty :
       {std::string("\",\"hash\":\"" + std::string(64, '0') + "\"}"), std::string("\n{\"seq\":9"),
        std::string("a\0b", 3), std::string("\xff\xfe"), std::string("\xed\xa0\x80"), std::string(100'000, 'x')}) {
    event.target = nasty;
    event.message = nasty;
    const auto line = make_line(7, "c0", genesis_hash(), 0, event);
    EXPECT_EQ(line.text.find('\n'), std::string::npos);
    EXPECT_EQ(line.text.find('\0'), std::string::npos);
    EXPECT_TRUE(valid_utf8(line.text));
    EXPECT_LT(line.text.size(), 20'000U);
    const auto parts = split_line(line.text);
    ASSERT_TRUE(parts);
    EXPECT_EQ(parts->hash, line.hash);
    EXPECT_TRUE(row_of(line.text)) << line.text;
  }
}

TEST(AuditRecord, ContentIsBounded) {
  AuditEvent event = full_event();
  event.prompt = json::object{{"text", std::string(3U << 20, '"')}};
  event.answer = json::object{{"text", std::string(3U << 20, '\x01')}};
  event.before = event.prompt;
  event.after = event.answer;
  const auto line = make_line(7, "c0", genesis_hash(), 0, event);
  EXPECT_LT(line.text.size(), kMostLine);
  EXPECT_TRUE(row_of(line.text));
  EXPECT_NE(line.text.find("\"truncated\":true"), std::string::npos);

  json::value deep = "llm_0123456789abcdef_0123456789abcdef";
  for (int i = 0; i < 60; ++i) deep = json::array{deep};
  event = full_event();
  event.prompt = deep;
  const auto deep_line = make_line(8, "c0", genesis_hash(), 0, event);
  EXPECT_TRUE(row_of(deep_line.text));
  EXPECT_EQ(deep_line.text.find("0123456789abcdef"), std::string::npos);
}

TEST(AuditRecord, RemovalsAreReadBack) {
  const Removed removed{.seq = 120, .hash = std::string(64, 'c')};
  const auto line = make_line(200, "c0", genesis_hash(), 0, retention_event(removed, "audit-x.jsonl"));
  const auto read = removed_by(line.text);
  ASSERT_TRUE(read);
  EXPECT_EQ(read->seq, 120);
  EXPECT_EQ(read->hash, removed.hash);  // no secret, although it is a long word
  EXPECT_FALSE(removed_by(make_line(1, "c0", genesis_hash(), 0, full_event()).text));
}

TEST(AuditRedact, MasksWhatLooksLikeASecret) {
  const std::string key = "llm_0123456789abcdef_0123456789abcdefghjkmnpqrstvwxyz0123456789abcdefghjk";
  const std::string jwt = "eyJhbGciOiJFZERTQSJ9.eyJzdWIiOiJhIn0.c2lnbmF0dXJlc2lnbmF0dXJl";
  const std::vector<std::pair<std::string, std::string>> cases = {
      {"the key " + key + " is wrong", "the key [masked] is wrong"},
      {key, "[masked]"},
      {"x" + key, "x[masked]"},
      {key + "," + key, "[masked],[masked]"},
      {"refresh llr_0123456789abcdef_0123456789abcdef", "refresh [masked]"},
      {"token=" + jwt + "&x=1", "token=[masked]&x=1"},
      {"eyJhbGciOiJub25lIn0.eyJzdWIiOiJhIn0.", "[masked]"},
      {"Authorization: Bearer abcdef123456", "Authorization: Bearer [masked]"},
      {"bearer\tAbC-_.~+/=123", "bearer\t[masked]"},
      {"BASIC dXNlcjpwYXNzd29yZA==", "BASIC [masked]"},
      {"sk-proj-abcdefghijklmnop", "[masked]"},
      {"llm_0123456789abcdef", "[masked]"},
      {"the bearer of news", "the bearer of news"},
      {"llm_load_model failed", "llm_load_model failed"},
      {"eyJ is how they begin", "eyJ is how they begin"},
      {"a basic key", "a basic key"},
      {"", ""},
      {"llama3:8b", "llama3:8b"},
  };
  for (const auto& [text, expected] : cases) EXPECT_EQ(redact_text(text, 10'000), expected);
}

TEST(AuditRedact, CutsAfterItHasMasked) {
  const std::string key = "llm_0123456789abcdef_0123456789abcdefghjkmnpqrstvwxyz0123456789abcdefghjk";
  for (std::size_t most = 0; most < 60; ++most) {
    const std::string out = redact_text("a key: " + key + " ä", most);
    EXPECT_LE(out.size(), most);
    EXPECT_EQ(out.find("0123"), std::string::npos) << out;
    EXPECT_TRUE(valid_utf8(out));
  }
}

TEST(AuditRedact, MasksWithinDocuments) {
  const std::string key = "llm_0123456789abcdef_0123456789abcdefghjkmnpqrstvwxyz0123456789abcdefghjk";
  const json::object document{{"name", "n"},
                              {"Password", "hunter2"},
                              {"api_key", "short"},
                              {"max_tokens", 5},
                              {"list", json::array{1, key, json::object{{"deep", "Bearer " + key}}}},
                              {key, "value"}};
  EXPECT_EQ(json::write(redact(document)), R"({"name":"n","Password":"[masked]","api_key":"[masked]","max_tokens":5,)"
                                           R"("list":[1,"[masked]",{"deep":"Bearer [masked]"}],"[masked]":"value"})");
}

// In every text member of a record, by whatever way.
TEST(AuditRedact, NoMemberLetsASecretThrough) {
  const std::string key = "llm_0123456789abcdef_0123456789abcdefghjkmnpqrstvwxyz0123456789abcdefghjk";
  AuditEvent event;
  for (std::string* text : {&event.request_id, &event.principal, &event.project, &event.user, &event.address,
                            &event.action, &event.target, &event.outcome, &event.message}) {
    *text = "say " + key;
  }
  for (json::value* content : {&event.before, &event.after, &event.prompt, &event.answer}) {
    *content = json::array{key, json::object{{key, key}}};
  }
  const auto line = make_line(1, "c0", genesis_hash(), 0, event);
  EXPECT_EQ(line.text.find("ghjkmnp"), std::string::npos) << line.text;
}

}  // namespace
}  // namespace llm::access
