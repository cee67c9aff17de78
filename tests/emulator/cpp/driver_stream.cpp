// Streams and events: work waits in its stream's queue until it is run, which is at once, or when
// something waits for it, or by chance, as the pace is set. While a stream is captured, work becomes
// nodes.
#include <algorithm>

#include "state.h"

namespace {

thread_local int exchange_mode = CAPTURE_GLOBAL;

void merge(Clock &into, const Clock &from) {
  for (auto &[stream, steps] : from) into[stream] = std::max(into[stream], steps);
}

Event *event_of(CUevent handle) { return state().events.count(handle) ? handle : nullptr; }

bool is_capturing(const Stream *stream) { return stream->capture != nullptr; }

// Whether a stream can go on without others.
bool is_free(const Stream *stream) {
  if (stream->queue.empty()) return false;
  const Work &work = stream->queue.front();
  return work.kind != Kind::Wait || work.event->done >= work.ticket;
}

void advance(Stream *stream);

// Runs what stands before a record of an event, and the record.
void run_until(Event &event, unsigned long long ticket) {
  while (event.done < ticket && event.stream != nullptr && !event.stream->queue.empty() && !state().sticky)
    advance(event.stream);
}

// Runs a stream's next work, and before that what it waits for.
void advance(Stream *stream) {
  Work work = stream->queue.front();
  stream->queue.pop_front();
  if (work.kind == Kind::Wait) {
    run_until(*work.event, work.ticket);
  } else if (CUresult code = work.run()) {
    // On a card the error shows in a later call; which one depends on timing.
    state().sticky = is_sticky(code) ? code : CUDA_ERROR_LAUNCH_FAILED;
  }
}

std::vector<Stream *> in_order() {
  std::vector<Stream *> all(state().streams.begin(), state().streams.end());
  std::sort(all.begin(), all.end(), [](Stream *a, Stream *b) { return a->number < b->number; });
  return all;
}

// At a random pace: from here to the next wait of the host some streams go on by themselves, and the
// others only where something needs them.
void choose_eager() {
  if (state().settings.pace < 2) return;
  for (Stream *stream : in_order()) stream->eager = state().chance() % 2;
}

// Lets eager streams go on, as far as they can without the others.
void run_eager() {
  if (state().settings.pace < 2) return;
  bool went_on = true;
  while (went_on) {
    went_on = false;
    for (Stream *stream : in_order())
      for (; stream->eager && is_free(stream) && !state().sticky; went_on = true) advance(stream);
  }
}

}  // namespace

Stream *stream_of(CUstream handle) {
  if (handle == nullptr || reinterpret_cast<uintptr_t>(handle) <= 2) return &state().null_stream;
  return state().streams.count(handle) ? handle : nullptr;
}

void drain(Stream *stream) {
  choose_eager();
  while (!stream->queue.empty() && !state().sticky) advance(stream);
}

void drain_all() {
  drain(&state().null_stream);
  for (Stream *stream : state().streams) drain(stream);
}

CUresult submit(CUstream handle, Work work) {
  Stream *stream = stream_of(handle);
  if (stream == nullptr) return CUDA_ERROR_INVALID_HANDLE;
  if (is_capturing(stream)) {
    if (stream->capture->invalid) return CUDA_ERROR_STREAM_CAPTURE_INVALIDATED;
    stream->capture->graph->nodes.push_back(std::move(work));
    stream->clock[stream]++;
    return CUDA_SUCCESS;
  }
  bool blocks = stream == &state().null_stream;
  for (Stream *other : state().streams) {
    bool ordered = blocks ? !(other->flags & 1) : false;
    if (ordered && is_capturing(other)) return CUDA_ERROR_STREAM_CAPTURE_IMPLICIT;
    if (ordered) drain(other);  // the legacy stream waits for blocking streams
  }
  if (!blocks && !(stream->flags & 1)) drain(&state().null_stream);  // and they for it
  stream->queue.push_back(std::move(work));
  if (state().settings.pace == 0) drain(stream);
  run_eager();
  return CUDA_SUCCESS;
}

CUresult refuse_in_capture() {
  for (Stream *stream : state().streams) {
    Capture *capture = stream->capture.get();
    if (capture == nullptr || capture->mode == CAPTURE_RELAXED || exchange_mode == CAPTURE_RELAXED) continue;
    bool mine = capture->thread == std::this_thread::get_id();
    if (capture->mode == CAPTURE_THREAD && !mine) continue;
    capture->invalid = true;
    return CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED;
  }
  return CUDA_SUCCESS;
}

EMULATOR_EXPORT CUresult cuStreamCreateWithPriority(CUstream *stream, unsigned flags, int) {
  ENTER("cuStreamCreateWithPriority");
  *stream = new Stream;
  (*stream)->flags = flags;
  (*stream)->number = ++state().streams_made;
  state().streams.insert(*stream);
  choose_eager();
  return CUDA_SUCCESS;
}

EMULATOR_EXPORT CUresult cuStreamCreate(CUstream *stream, unsigned flags) {
  ENTER("cuStreamCreate");
  *stream = new Stream;
  (*stream)->flags = flags;
  (*stream)->number = ++state().streams_made;
  state().streams.insert(*stream);
  choose_eager();
  return CUDA_SUCCESS;
}

EMULATOR_EXPORT CUresult cuStreamDestroy_v2(CUstream stream) {
  ENTER_RELEASE("cuStreamDestroy_v2");
  if (state().streams.count(stream) == 0) return CUDA_ERROR_INVALID_HANDLE;
  drain(stream);
  for (auto &[handle, event] : state().events)
    if (event->stream == stream) event->stream = nullptr;
  state().streams.erase(stream);
  delete stream;
  return refused;
}

EMULATOR_EXPORT CUresult cuStreamSynchronize(CUstream handle) {
  ENTER("cuStreamSynchronize");
  Stream *stream = stream_of(handle);
  if (stream == nullptr) return CUDA_ERROR_INVALID_HANDLE;
  if (is_capturing(stream)) {
    stream->capture->invalid = true;
    return CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED;
  }
  if (CUresult wrong = refuse_in_capture()) return wrong;
  drain(stream);
  check_guards();
  return state().sticky;
}

EMULATOR_EXPORT CUresult cuStreamQuery(CUstream handle) {
  ENTER("cuStreamQuery");
  Stream *stream = stream_of(handle);
  if (stream == nullptr) return CUDA_ERROR_INVALID_HANDLE;
  if (is_capturing(stream)) return CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED;
  bool waits = !stream->queue.empty();
  drain(stream);  // who asks again finds it done
  return state().sticky ? state().sticky : waits ? CUDA_ERROR_NOT_READY : CUDA_SUCCESS;
}

EMULATOR_EXPORT CUresult cuEventCreate(CUevent *event, unsigned flags) {
  ENTER("cuEventCreate");
  auto made = std::make_shared<Event>();
  made->flags = flags;
  state().events[made.get()] = made;
  *event = made.get();
  return CUDA_SUCCESS;
}

EMULATOR_EXPORT CUresult cuEventDestroy_v2(CUevent event) {
  ENTER_RELEASE("cuEventDestroy_v2");
  return state().events.erase(event) == 0 ? CUDA_ERROR_INVALID_HANDLE : refused;
}

static CUresult record(CUevent handle, CUstream stream_handle) {
  Stream *stream = stream_of(stream_handle);
  if (event_of(handle) == nullptr || stream == nullptr) return CUDA_ERROR_INVALID_HANDLE;
  std::shared_ptr<Event> event = state().events[handle];
  event->stream = stream;
  event->recorded = true;
  if (is_capturing(stream)) {
    event->capture = stream->capture;
    event->clock = stream->clock;
    return CUDA_SUCCESS;
  }
  event->capture.reset();
  unsigned long long ticket = ++event->asked;
  return submit(stream_handle, {Kind::Record, [event, ticket] {
                                  event->done = ticket;
                                  event->time = std::chrono::steady_clock::now();
                                  return CUDA_SUCCESS;
                                }});
}

EMULATOR_EXPORT CUresult cuEventRecord(CUevent event, CUstream stream) {
  ENTER("cuEventRecord");
  return record(event, stream);
}

EMULATOR_EXPORT CUresult cuEventRecordWithFlags(CUevent event, CUstream stream, unsigned) {
  ENTER("cuEventRecordWithFlags");
  return record(event, stream);
}

EMULATOR_EXPORT CUresult cuStreamWaitEvent(CUstream stream_handle, CUevent handle, unsigned) {
  ENTER("cuStreamWaitEvent");
  Stream *stream = stream_of(stream_handle);
  if (event_of(handle) == nullptr || stream == nullptr) return CUDA_ERROR_INVALID_HANDLE;
  std::shared_ptr<Event> event = state().events[handle];
  if (!event->recorded || state().settings.deaf) return CUDA_SUCCESS;
  std::shared_ptr<Capture> capture = event->capture.lock();
  if (is_capturing(stream) && capture != stream->capture)
    return capture ? CUDA_ERROR_STREAM_CAPTURE_MERGE : CUDA_ERROR_STREAM_CAPTURE_ISOLATION;
  if (capture) {  // the stream joins the capture, or follows a fork of it
    stream->capture = capture;
    merge(stream->clock, event->clock);
    return CUDA_SUCCESS;
  }
  Work work{Kind::Wait, nullptr};
  work.event = event;
  work.ticket = event->asked;
  return submit(stream_handle, work);
}

static CUresult wait_for(CUevent handle, bool ask) {
  Event *event = event_of(handle);
  if (event == nullptr) return CUDA_ERROR_INVALID_HANDLE;
  if (event->capture.lock()) return CUDA_ERROR_CAPTURED_EVENT;
  bool waits = event->done < event->asked;
  choose_eager();
  if (waits) run_until(*event, event->asked);
  if (state().sticky) return state().sticky;
  return ask && waits ? CUDA_ERROR_NOT_READY : CUDA_SUCCESS;
}

EMULATOR_EXPORT CUresult cuEventSynchronize(CUevent event) {
  ENTER("cuEventSynchronize");
  return wait_for(event, false);
}

EMULATOR_EXPORT CUresult cuEventQuery(CUevent event) {
  ENTER("cuEventQuery");
  return wait_for(event, true);
}

static CUresult elapsed(float *milliseconds, CUevent from, CUevent to) {
  if (event_of(from) == nullptr || event_of(to) == nullptr) return CUDA_ERROR_INVALID_HANDLE;
  if ((from->flags | to->flags) & EVENT_DISABLE_TIMING) return CUDA_ERROR_INVALID_HANDLE;
  if (from->asked == 0 || to->asked == 0) return CUDA_ERROR_INVALID_HANDLE;
  if (from->done < from->asked || to->done < to->asked) return CUDA_ERROR_NOT_READY;
  *milliseconds = std::chrono::duration<float, std::milli>(to->time - from->time).count();
  return CUDA_SUCCESS;
}

EMULATOR_EXPORT CUresult cuEventElapsedTime_v2(float *milliseconds, CUevent from, CUevent to) {
  ENTER("cuEventElapsedTime_v2");
  return elapsed(milliseconds, from, to);
}

EMULATOR_EXPORT CUresult cuEventElapsedTime(float *milliseconds, CUevent from, CUevent to) {
  ENTER("cuEventElapsedTime");
  return elapsed(milliseconds, from, to);
}

EMULATOR_EXPORT CUresult cuLaunchHostFunc(CUstream stream, CUhostFn function, void *data) {
  ENTER("cuLaunchHostFunc");
  return submit(stream, {Kind::Host, [=] {
                           function(data);
                           return CUDA_SUCCESS;
                         }});
}

EMULATOR_EXPORT CUresult cuThreadExchangeStreamCaptureMode(int *mode) {
  ENTER("cuThreadExchangeStreamCaptureMode");
  std::swap(*mode, exchange_mode);
  return CUDA_SUCCESS;
}
