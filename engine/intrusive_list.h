// A list through links that its elements carry: no allocation, removal in O(1). Does not own.
// An element is in at most one list a link. One thread.
#pragma once

#include <cstddef>

#include "base/result.h"

namespace headrace::engine {

template <typename T>
struct Link {
  T* prev = nullptr;
  T* next = nullptr;
  bool linked = false;
};

template <typename T, Link<T> T::* kLink>
class IntrusiveList {
 public:
  bool empty() const { return size_ == 0; }
  size_t size() const { return size_; }
  T* front() const { return front_; }
  static T* Next(const T* item) { return (item->*kLink).next; }
  static bool Contains(const T* item) { return (item->*kLink).linked; }

  void PushBack(T* item) {
    Link<T>& link = item->*kLink;
    HR_CHECK(!link.linked);
    link = {back_, nullptr, true};
    (back_ == nullptr ? front_ : (back_->*kLink).next) = item;
    back_ = item;
    ++size_;
  }
  void Erase(T* item) {
    Link<T>& link = item->*kLink;
    HR_CHECK(link.linked);
    (link.prev == nullptr ? front_ : (link.prev->*kLink).next) = link.next;
    (link.next == nullptr ? back_ : (link.next->*kLink).prev) = link.prev;
    link = {};
    --size_;
  }

 private:
  T* front_ = nullptr;
  T* back_ = nullptr;
  size_t size_ = 0;
};

}  // namespace headrace::engine
