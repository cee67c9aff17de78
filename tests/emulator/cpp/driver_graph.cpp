// Capture into graphs, and graphs: a graph is the list of captured work in the order it was asked
// for, which is one of the orders that its dependencies allow.
#include "state.h"

EMULATOR_EXPORT CUresult cuStreamBeginCapture_v2(CUstream handle, int mode) {
  ENTER("cuStreamBeginCapture_v2");
  Stream *stream = stream_of(handle);
  if (stream == nullptr) return CUDA_ERROR_INVALID_HANDLE;
  if (stream == &state().null_stream) return CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED;
  if (stream->capture) return CUDA_ERROR_INVALID_VALUE;
  stream->capture = std::make_shared<Capture>();
  stream->capture->origin = stream;
  stream->capture->mode = mode;
  stream->capture->thread = std::this_thread::get_id();
  stream->clock.clear();
  return CUDA_SUCCESS;
}

EMULATOR_EXPORT CUresult cuStreamEndCapture(CUstream handle, CUgraph *graph) {
  ENTER_RELEASE("cuStreamEndCapture");  // a capture ends, whether or not it gives a graph
  *graph = nullptr;
  Stream *stream = stream_of(handle);
  if (stream == nullptr) return CUDA_ERROR_INVALID_HANDLE;
  std::shared_ptr<Capture> capture = stream->capture;
  if (!capture) return CUDA_ERROR_INVALID_VALUE;
  if (capture->origin != stream) return CUDA_ERROR_STREAM_CAPTURE_UNMATCHED;
  if (capture->mode != CAPTURE_RELAXED && capture->thread != std::this_thread::get_id())
    return CUDA_ERROR_STREAM_CAPTURE_WRONG_THREAD;
  bool joined = true;
  for (Stream *other : state().streams) {
    if (other->capture != capture) continue;
    joined = joined && stream->clock[other] == other->clock[other];
    other->capture.reset();
  }
  for (Stream *other : state().streams)
    if (!other->capture) other->clock.clear();
  if (refused) return refused;
  if (capture->invalid) return CUDA_ERROR_STREAM_CAPTURE_INVALIDATED;
  if (!joined) return CUDA_ERROR_STREAM_CAPTURE_UNJOINED;
  *graph = capture->graph.release();
  state().graphs.insert(*graph);
  return CUDA_SUCCESS;
}

EMULATOR_EXPORT CUresult cuStreamIsCapturing(CUstream handle, int *status) {
  ENTER("cuStreamIsCapturing");
  Stream *stream = stream_of(handle);
  if (stream == nullptr) return CUDA_ERROR_INVALID_HANDLE;
  *status = !stream->capture ? 0 : stream->capture->invalid ? 2 : 1;
  return CUDA_SUCCESS;
}

EMULATOR_EXPORT CUresult cuGraphGetNodes(CUgraph graph, CUgraphNode *nodes, size_t *count) {
  ENTER("cuGraphGetNodes");
  if (state().graphs.count(graph) == 0) return CUDA_ERROR_INVALID_VALUE;
  size_t room = *count;
  *count = graph->nodes.size();
  for (size_t i = 0; nodes != nullptr && i < room && i < graph->nodes.size(); i++) nodes[i] = &graph->nodes[i];
  return CUDA_SUCCESS;
}

EMULATOR_EXPORT CUresult cuGraphNodeGetType(CUgraphNode node, int *type) {
  ENTER("cuGraphNodeGetType");
  *type = static_cast<int>(node->kind);
  return CUDA_SUCCESS;
}

EMULATOR_EXPORT CUresult cuGraphInstantiateWithFlags(CUgraphExec *exec, CUgraph graph, unsigned long long) {
  ENTER("cuGraphInstantiateWithFlags");
  if (state().graphs.count(graph) == 0) return CUDA_ERROR_INVALID_VALUE;
  *exec = new GraphExec{graph->nodes};
  state().execs.insert(*exec);
  return CUDA_SUCCESS;
}

EMULATOR_EXPORT CUresult cuGraphDestroy(CUgraph graph) {
  ENTER_RELEASE("cuGraphDestroy");
  if (state().graphs.erase(graph) == 0) return CUDA_ERROR_INVALID_VALUE;
  delete graph;
  return refused;
}

EMULATOR_EXPORT CUresult cuGraphExecDestroy(CUgraphExec exec) {
  ENTER_RELEASE("cuGraphExecDestroy");
  if (state().execs.count(exec) == 0) return CUDA_ERROR_INVALID_VALUE;
  drain_all();
  state().execs.erase(exec);
  delete exec;
  return refused;
}

EMULATOR_EXPORT CUresult cuGraphUpload(CUgraphExec exec, CUstream stream) {
  ENTER("cuGraphUpload");
  if (state().execs.count(exec) == 0 || stream_of(stream) == nullptr) return CUDA_ERROR_INVALID_VALUE;
  return CUDA_SUCCESS;
}

EMULATOR_EXPORT CUresult cuGraphLaunch(CUgraphExec exec, CUstream handle) {
  ENTER("cuGraphLaunch");
  Stream *stream = stream_of(handle);
  if (state().execs.count(exec) == 0 || stream == nullptr) return CUDA_ERROR_INVALID_VALUE;
  if (stream->capture) return CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED;  // no child graphs here
  for (const Work &node : exec->nodes)
    if (CUresult code = submit(handle, node)) return code;
  return CUDA_SUCCESS;
}

struct UpdateResult {
  int result;
  CUgraphNode error, from;
};

EMULATOR_EXPORT CUresult cuGraphExecUpdate_v2(CUgraphExec exec, CUgraph graph, UpdateResult *result) {
  ENTER("cuGraphExecUpdate_v2");
  if (state().execs.count(exec) == 0 || state().graphs.count(graph) == 0) return CUDA_ERROR_INVALID_VALUE;
  *result = {0, nullptr, nullptr};
  if (exec->nodes.size() != graph->nodes.size()) {
    result->result = 2;  // another topology
    return CUDA_ERROR_GRAPH_EXEC_UPDATE_FAILURE;
  }
  for (size_t i = 0; i < exec->nodes.size(); i++)
    if (exec->nodes[i].kind != graph->nodes[i].kind) {
      *result = {3, &graph->nodes[i], nullptr};  // another kind of node
      return CUDA_ERROR_GRAPH_EXEC_UPDATE_FAILURE;
    }
  exec->nodes = graph->nodes;
  return CUDA_SUCCESS;
}
