"""All that knows Caffe: its messages and files, its nets, the engines that run them."""
