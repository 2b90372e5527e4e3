// soft_labels: y = weight0 * onehot(label_i) + weight1 * onehot(label_j), smoothed.
//
// Set by the launcher:
//   LABEL    int, long long: class indices [B]; float: labels that are soft already [B, classes]
//   DENSE    1 for float labels
//
// Grid: x over the samples, y over the classes.
extern "C" __global__ void soft_labels(
    const LABEL* __restrict__ labels,  // [B] or [B, classes]
    const int* __restrict__ partner,   // [B]
    const float* __restrict__ weight,  // [B, 2]
    int classes,
    float kept,                         // 1 - smoothing
    float spread,                       // smoothing / classes
    long long* __restrict__ bad_label,  // [3] (1 + sample, its label, classes) once a label is not in 0 .. classes - 1
    float* __restrict__ output) {       // [B, classes]
  const int i = blockIdx.x, c = blockIdx.y * blockDim.x + threadIdx.x, last = static_cast<int>(gridDim.x) - 1;
  const int j = min(max(partner[i], 0), last);  // a plan that is wrong stays within the batch
  if (c >= classes) return;
  const long long at = static_cast<long long>(i) * classes + c;
  const float own = weight[2 * i], other = weight[2 * i + 1];
#if DENSE
  const float first = labels[at], second = labels[static_cast<long long>(j) * classes + c];
  const bool bad = false;
#else
  const LABEL label = labels[i];
  const float first = label == c, second = labels[j] == c;
  const bool bad = label < 0 || label >= classes || labels[j] < 0 || labels[j] >= classes;
  if (c == 0 && (label < 0 || label >= classes)) {
    bad_label[1] = label;
    bad_label[2] = classes;
    __threadfence_system();  // the host, which polls the first number, must find the others written
    bad_label[0] = i + 1;
  }
#endif
  // Nothing can be raised from here: the row turns NaN at once, the error follows with a later call.
  const float y = bad ? __int_as_float(0x7fc00000) : own * first + other * second;
  output[at] = kept * y + spread * (own + other);
}
