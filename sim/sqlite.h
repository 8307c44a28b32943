// SQLite's handles with owners, and its errors as values. One thread at a time.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>

#include "base/result.h"

struct sqlite3;
struct sqlite3_stmt;

namespace headrace::sim {

// `name` as SQL takes it, whatever it contains.
std::string QuotedName(std::string_view name);

// A prepared statement; its Database outlives it. Parameters count from 1, columns from 0.
class SqliteStatement {
 public:
  void Bind(int parameter, int64_t value);
  void Bind(int parameter, std::string_view text);           // a copy is kept
  void Bind(int parameter, std::span<const uint8_t> bytes);  // a copy is kept
  // True: there is a row, whose columns are valid until the next call. Starts anew after the last.
  Result<bool> Step();
  void Reset();  // before the last row; parameters stay bound

  bool IsInteger(int column) const;
  bool IsBlob(int column) const;
  int64_t Integer(int column) const;
  std::string_view Text(int column) const;
  std::span<const uint8_t> Blob(int column) const;

 private:
  friend class SqliteDatabase;
  struct Closer {
    void operator()(sqlite3_stmt* statement) const;
  };
  explicit SqliteStatement(sqlite3_stmt* statement) : statement_(statement) {}

  std::unique_ptr<sqlite3_stmt, Closer> statement_;
};

class SqliteDatabase {
 public:
  // Without a right to write. kNotFound: there is no such file.
  static Result<SqliteDatabase> OpenToRead(const std::string& path);
  static Result<SqliteDatabase> Create(const std::string& path);  // kExists: it is there
  // All of `source`, in memory.
  static Result<SqliteDatabase> CopyOf(const SqliteDatabase& source);

  Status Run(const std::string& sql);
  Result<SqliteStatement> Prepare(const std::string& sql);
  std::string Reason() const;  // of the last call that failed, in SQLite's words

 private:
  struct Closer {
    void operator()(sqlite3* database) const;
  };
  explicit SqliteDatabase(sqlite3* database) : database_(database) {}
  static Result<SqliteDatabase> Open(const std::string& path, int flags);

  std::unique_ptr<sqlite3, Closer> database_;
};

}  // namespace headrace::sim
