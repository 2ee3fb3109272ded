#include "access/permission.h"

#include <gtest/gtest.h>

namespace llm::access {
namespace {

using P = Permission;

TEST(Permission, NamesGoBothWays) {
  for (const auto& row : permissions()) {
    EXPECT_EQ(to_string(row.permission), row.name);
    const auto found = permission_by_name(row.name);
    // What everybody has can be neither granted nor asked for.
    EXPECT_EQ(found.has_value(), row.permission > P::kAuthenticated) << row.name;
    if (found) EXPECT_EQ(*found, row.permission);
  }
  for (const char* name : {"", "Admin", "admin ", "*", "models", "models:*", "models:read\n"}) {
    EXPECT_FALSE(permission_by_name(name)) << name;
  }
}

TEST(PermissionSet, AdminBringsAllOthers) {
  const PermissionSet nothing;
  EXPECT_TRUE(nothing.has(P::kPublic));
  EXPECT_TRUE(nothing.has(P::kAuthenticated));
  for (const auto& row : permissions()) {
    if (row.permission > P::kAuthenticated) EXPECT_FALSE(nothing.has(row.permission)) << row.name;
    EXPECT_TRUE(PermissionSet::all().has(row.permission)) << row.name;
  }
}

TEST(PermissionSet, WhatBothHave) {
  const PermissionSet runs{P::kGenerate, P::kModelsRead};
  const PermissionSet reads{P::kModelsRead, P::kUsageRead};
  EXPECT_EQ(runs & reads, PermissionSet{P::kModelsRead});
  EXPECT_EQ(PermissionSet::all() & runs, runs);
  EXPECT_EQ(runs & PermissionSet::all(), runs);
  EXPECT_FALSE((runs & PermissionSet::all()).has(P::kAdmin));
  EXPECT_TRUE((runs & PermissionSet()).empty());
}

TEST(PermissionSet, Contains) {
  const PermissionSet runs{P::kGenerate, P::kModelsRead};
  EXPECT_TRUE(runs.contains(PermissionSet{P::kGenerate}));
  EXPECT_TRUE(runs.contains(PermissionSet()));
  EXPECT_FALSE(runs.contains(PermissionSet{P::kUsageRead}));
  EXPECT_FALSE(runs.contains(PermissionSet::all()));
  EXPECT_TRUE(PermissionSet::all().contains(runs));
}

TEST(Scopes, TextAndBack) {
  const PermissionSet set{P::kGenerate, P::kKeysWrite};
  EXPECT_EQ(scope_text(set), "generate keys:write");
  EXPECT_EQ(scopes("generate keys:write"), set);
  EXPECT_EQ(scopes("  openid generate  profile keys:write generate"), set);
  EXPECT_EQ(scope_text(PermissionSet::all()), "admin");
  EXPECT_EQ(scope_text(PermissionSet()), "");
  // "public" and "authenticated" are no scopes.
  EXPECT_TRUE(scopes("public authenticated ADMIN").empty());
}

}  // namespace
}  // namespace llm::access
