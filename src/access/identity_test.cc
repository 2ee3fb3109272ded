#include "access/identity.h"

#include <gtest/gtest.h>

#include "access/principal.h"
#include "access/rights.h"

namespace llm::access {
namespace {

using P = Permission;
using Models = std::vector<std::string>;

std::shared_ptr<const std::vector<Rule>> rules(std::vector<Rule> list) {
  return std::make_shared<const std::vector<Rule>>(std::move(list));
}

TEST(ModelMatches, Table) {
  struct Case {
    const char* pattern;
    const char* name;
    bool matches;
  };
  const Case cases[] = {
      {"llama3", "llama3", true},
      {"llama3", "llama3:8b", true},
      {"llama3", "llama3.1", false},
      {"llama3", "llama3.1:8b", false},
      {"llama3:8b", "llama3:8b", true},
      {"llama3:8b", "llama3", false},
      {"llama3:8b", "llama3:80b", false},
      {"llama3*", "llama3.1:8b", true},
      {"*", "anything/at:all", true},
      {"*", "", true},
      {"", "", true},
      {"", "a", false},
      {"*-instruct", "qwen-instruct:q4", true},
      {"*-instruct", "qwen-instruct-x", false},
      {"hf.co/*/llama3", "hf.co/someone/llama3:Q4_K_M", true},
      {"llama3", "hf.co/someone/llama3", false},
      {"hf.co:443/a/llama3", "hf.co:443/a/llama3:8b", true},
      {"hf.co", "hf.co:443/a/llama3", false},
      {"a*b*c", "a-x-b-y-c", true},
      {"a*b*c", "a-x-b-y", false},
      {"Llama3", "llama3", false},
      {"ll?ma", "llama", false},
      {"[a-z]*", "llama", false},
      {"**", "x", true},
  };
  for (const Case& c : cases) EXPECT_EQ(model_matches(c.pattern, c.name), c.matches) << c.pattern << " " << c.name;
}

TEST(ModelMatches, NoPatternTakesExponentialTime) {
  const std::string pattern(256, '*');
  std::string stars;
  for (int i = 0; i < 128; ++i) stars += "*a";
  const std::string name(4096, 'a');
  EXPECT_TRUE(model_matches(pattern, name));
  EXPECT_FALSE(model_matches(stars + "b", name));
}

TEST(PatternWithin, Table) {
  struct Case {
    const char* inner;
    const char* outer;
    bool within;
  };
  const Case cases[] = {
      {"llama3:8b", "llama3", true},
      {"llama3", "llama3:8b", false},
      {"llama3*", "llama*", true},
      {"llama*", "llama3*", false},
      {"*", "*", true},
      {"*", "llama*", false},
      {"llama3", "*", true},
      {"*a", "*a", true},
      {"a*c", "a*", true},
      {"a*", "a*c", false},
      {"llama3:*", "llama3", false},
      {"llama3:*", "llama3*", true},
      {"llama*:8b", "llama*", true},
  };
  for (const Case& c : cases) EXPECT_EQ(pattern_within(c.inner, c.outer), c.within) << c.inner << " " << c.outer;
}

TEST(Identity, RulesScopesAndModelsAllNarrow) {
  Identity identity;
  identity.rules = rules({{{P::kGenerate}, {"llama3*"}}, {{P::kModelsRead, P::kUsageRead}, {}}});
  EXPECT_TRUE(identity.may(P::kGenerate));
  EXPECT_TRUE(identity.may(P::kGenerate, "llama3:8b"));
  EXPECT_FALSE(identity.may(P::kGenerate, "qwen"));
  EXPECT_TRUE(identity.may(P::kModelsRead, "qwen"));
  EXPECT_FALSE(identity.may(P::kModelsWrite));
  EXPECT_EQ(identity.permissions(), (PermissionSet{P::kGenerate, P::kModelsRead, P::kUsageRead}));

  identity.scopes = PermissionSet{P::kModelsRead};
  EXPECT_FALSE(identity.may(P::kGenerate, "llama3:8b"));
  EXPECT_TRUE(identity.may(P::kModelsRead, "qwen"));
  EXPECT_EQ(identity.permissions(), PermissionSet{P::kModelsRead});

  identity.models = std::make_shared<const Models>(Models{"llama3"});
  EXPECT_TRUE(identity.may(P::kModelsRead, "llama3:8b"));
  EXPECT_FALSE(identity.may(P::kModelsRead, "qwen"));
}

TEST(Identity, WhoIsNobodyMayNothing) {
  const Identity identity;
  EXPECT_TRUE(identity.may(P::kPublic));
  EXPECT_TRUE(identity.may(P::kAuthenticated));
  EXPECT_FALSE(identity.may(P::kGenerate));
  EXPECT_FALSE(identity.may(P::kGenerate, "m"));
  EXPECT_TRUE(identity.permissions().empty());
}

TEST(Identity, AnEmptyListOfModelsIsNone) {
  Identity identity;
  identity.rules = rules({{{P::kGenerate}, {}}});
  identity.models = std::make_shared<const Models>();
  EXPECT_FALSE(identity.may(P::kGenerate, "m"));
}

TEST(Principal, TheLocalUserMayEverything) {
  const Principal principal;
  EXPECT_TRUE(principal.local());
  EXPECT_TRUE(principal.may(P::kAdmin));
  EXPECT_TRUE(principal.may(P::kGenerate, "m"));
  EXPECT_EQ(principal.project(), "default");
  EXPECT_EQ(principal.key_id(), "local");
}

TEST(Principal, UsageIsBookedOnTheKeyElseOnTheId) {
  auto identity = std::make_shared<Identity>();
  identity->project = std::make_shared<const Project>(Project{.id = "red"});
  identity->key_id = "abc";
  Principal principal{.id = "key:abc", .identity = identity};
  EXPECT_EQ(principal.project(), "red");
  EXPECT_EQ(principal.key_id(), "abc");
  identity->key_id.clear();
  principal.id = "token:keycloak:42";
  EXPECT_EQ(principal.key_id(), "token:keycloak:42");
}

TEST(Rights, Table) {
  const Models llama{"llama*"};
  const Models one{"llama3:8b"};
  const Models qwen{"qwen"};
  const std::vector<Rule> everything{{PermissionSet::all(), {}}};
  const std::vector<Rule> runs{{{P::kGenerate, P::kModelsRead}, {}}};
  const std::vector<Rule> runs_llama{{{P::kGenerate, P::kModelsRead}, llama}};
  const std::vector<Rule> in_parts{{{P::kGenerate}, {"llama3*"}}, {{P::kGenerate}, qwen}, {{P::kModelsRead}, {}}};
  struct Case {
    const char* what;
    Rights inner;
    Rights outer;
    bool within;
  };
  const Case cases[] = {
      {"the same", {runs}, {runs}, true},
      {"an admin holds all", {runs}, {everything}, true},
      {"nobody else holds an admin", {everything}, {runs}, false},
      {"an admin narrowed by scopes", {everything, {P::kGenerate}}, {runs}, true},
      {"an admin narrowed too little", {everything, {P::kGenerate, P::kUsageRead}}, {runs}, false},
      {"fewer models", {runs_llama}, {runs}, true},
      {"more models", {runs}, {runs_llama}, false},
      {"narrowed by its own models", {runs, PermissionSet::all(), &one}, {runs_llama}, true},
      {"narrowed to other models", {runs, PermissionSet::all(), &qwen}, {runs_llama}, false},
      {"the outer is narrowed by models", {runs}, {runs, PermissionSet::all(), &llama}, false},
      {"both narrowed", {runs, PermissionSet::all(), &one}, {runs, PermissionSet::all(), &llama}, true},
      {"the outer is narrowed by scopes", {runs}, {runs, {P::kModelsRead}}, false},
      {"held by several rules", {runs, {P::kGenerate}, &one}, {in_parts}, true},
      {"no rule holds it all", {runs_llama, {P::kGenerate}}, {in_parts}, false},
      {"a narrowed admin is no admin", {everything}, {everything, PermissionSet::all(), &llama}, false},
      {"a narrowed admin is within an admin", {everything, PermissionSet::all(), &llama}, {everything}, true},
  };
  for (const Case& c : cases) EXPECT_EQ(rights_within(c.inner, c.outer), c.within) << c.what;
}

}  // namespace
}  // namespace llm::access
